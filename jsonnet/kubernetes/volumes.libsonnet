// Volumes of an experiment's pod, and the paths at which programs agree to meet.
{
  uuid: '/var/local/uuid',
  uuidPrefix: '/var/local/uuid/prefix',
  events: '/var/local/tcpinfoeventsocket',
  eventSocket: '/var/local/tcpinfoeventsocket/tcpevents.sock',
  annotator: '/var/local/uuidannotatorsocket',
  annotatorSocket: '/var/local/uuidannotatorsocket/annotator.sock',
  schemas: '/var/spool/datatypes',
  columns: '/etc/datatypes',
  spool(experiment): '/var/spool/' + experiment,

  dataName(path): std.strReplace(std.asciiLower(path), '/', '-') + '-data',
  schemasName(experiment): experiment + '-datatypes',
  columnsName(experiment): experiment + '-schemas',

  hostPath(name, path, type='DirectoryOrCreate'): { name: name, hostPath: { path: path, type: type } },
  emptyDir(name): { name: name, emptyDir: {} },

  // The names that a configuration may use stand for these.
  standard(experiment): {
    data: $.dataName(experiment),
    datatypes: $.schemasName(experiment),
    metadata: 'metadata',
    'uuid-prefix': 'uuid-prefix',
    events: 'tcpinfo-eventsocket',
    annotator: 'uuid-annotator',
  },

  // One of the configuration's own.
  declared(experiment, volume):
    local sources = {
      secret: { secret: { secretName: volume.secret, defaultMode: 420 } },
      hostPath: { hostPath: { path: volume.hostPath, type: '' } },
      emptyDir: { emptyDir: {} },
      configMap: { configMap: { name: experiment + '-' + volume.name, defaultMode: 420 } },
    };
    local given = [name for name in std.objectFields(sources) if name in volume];
    assert std.length(given) == 1 : 'component volumes: volume %s of %s: parameter secret, hostPath, emptyDir or configMap: exactly one is needed' % [volume.name, experiment];
    { name: volume.name } + sources[given[0]],
}
