// The programs beside a measurement: they record what passed the wire, and carry it away.
//
// Ports are fixed for the whole fleet, since monitoring, firewalls and people know them by heart. Keys come by
// environment variables that these programs read in place of flags: an argument would show in every process list.
local container = import '../lib/container.libsonnet';
local require = import '../lib/require.libsonnet';
local volumes = import 'volumes.libsonnet';

local PORTS = {
  access: 9989,
  'tcp-info': 9991,
  'traceroute-caller': 9992,
  'packet-headers': 9993,
  'uuid-annotator': 9994,
  pusher: 9995,
  heartbeat: 9996,
  jostler: 9997,
  'revtr-sidecar': 9998,
};
// Connections to our own ports of metrics are no measurements.
local OWN_PORTS = [9100, 9090, 9091] + std.range(9989, 9998);
local ALWAYS = ['tcpinfo', 'pcap', 'scamper1', 'hopannotation2'];
// What our own programs take, with room: tcp-info with 2,000 connections that all change, pusher with five full bundles.
local RESOURCES = {
  'tcp-info': { cpu: { request: '100m' }, memory: { request: '64Mi', limit: '512Mi' } },
  pusher: { cpu: { request: '100m' }, memory: { request: '128Mi', limit: '1Gi' } },
  jostler: { cpu: { request: '50m' }, memory: { request: '128Mi', limit: '1Gi' } },
};

function(params)
  local p = require('sidecars', params, ['experiment', 'placement', 'urls', 'images', 'commands', 'control_plane', 'sidecars', 'datatypes', 'schemas', 'names', 'anonymize', 'project', 'services']);
  local image(name) = require('sidecars', p.images, [name])[name];
  local spool = volumes.spool(p.experiment);
  local archived = p.datatypes.archived + ALWAYS + (if std.member(p.datatypes.autoloaded, 'annotation2') then [] else ['annotation2']);

  local sidecar(name, args, more={}) = container.new({
    name: name,
    image: image(name),
    command: std.get(p.commands, name, []),
    hardened: name in p.commands,
    args: ['-prometheusx.listen-address=%s:%d' % [p.address, PORTS[name]]]
          + args
          + std.get(p.sidecars.args, name, [])
          + std.get(p.placement.sidecarArgs, name, []),
    env: p.env,
    metricsPort: if p.placement.hostNetwork then null else PORTS[name],
    resources: std.get(p.placement.sidecarResources, name, if name in p.commands then std.get(RESOURCES, name, {}) else {}),
  } + more);

  local data = container.mount(p.names.data, spool, readOnly=false);
  local schemas = container.mount(p.names.datatypes, volumes.schemas);
  local uuid = container.mount(p.names['uuid-prefix'], volumes.uuid);
  local events(readOnly=true) = container.mount(p.names.events, volumes.events, readOnly);
  local annotator(readOnly=true) = container.mount(p.names.annotator, volumes.annotator, readOnly);
  local secret(name) = container.mount(name, '/etc/credentials');

  local all = {
    'tcp-info': sidecar('tcp-info', [
      '-output=' + spool + '/tcpinfo',
      '-uuid-prefix-file=' + volumes.uuidPrefix,
      '-tcpinfo.eventsocket=' + volumes.eventSocket,
      '-exclude-srcport=' + std.join(',', std.map(std.toString, OWN_PORTS)),
    ] + (if p.control_plane == [] then [] else ['-exclude-dstip=' + std.join(',', p.control_plane)]) + [
      '-anonymize.ip=' + p.anonymize,
    ], { mounts: [data, uuid, events(readOnly=false)] }),

    'traceroute-caller': sidecar('traceroute-caller', [
      '-traceroute-output=' + spool + '/scamper1',
      '-hopannotation-output=' + spool + '/hopannotation2',
      '-ipservice.sock=' + volumes.annotatorSocket,
      '-tcpinfo.eventsocket=' + volumes.eventSocket,
      '-IPCacheTimeout=10m',
      '-IPCacheUpdatePeriod=1m',
      '-scamper.timeout=30m',
      '-scamper.tracelb-W=15',
    ], {
      mounts: [data, uuid, events(), annotator()],
      root: true,
      capabilities: ['DAC_OVERRIDE', 'NET_RAW', 'SETGID', 'SETUID', 'SYS_CHROOT'],
    }),

    'packet-headers': sidecar('packet-headers', [
      '-datadir=' + spool + '/pcap',
      '-tcpinfo.eventsocket=' + volumes.eventSocket,
      '-stream=false',
      '-maxidleram=1500MB',
      '-maxheap=2GB',
      '-flowtimeout=5s',
      '-maxflows=150',
    ], { mounts: [data, uuid, events()], root: true, capabilities: ['NET_RAW'] }),

    'uuid-annotator': sidecar('uuid-annotator', [
      '-datadir=' + spool + '/annotation2',
      '-tcpinfo.eventsocket=' + volumes.eventSocket,
      '-ipservice.sock=' + volumes.annotatorSocket,
      '-maxmind.url=' + p.urls.maxmind,
      '-routeview-v4.url=' + p.urls.routeview_v4,
      '-routeview-v6.url=' + p.urls.routeview_v6,
      '-siteinfo.url=' + p.urls.annotations,
      '-hostname=$(MLAB_NODE_NAME)',
    ], {
      env: p.env { GOOGLE_APPLICATION_CREDENTIALS: '/etc/credentials/uuid-annotator.json' },
      mounts: [data, schemas, events(), annotator(readOnly=false), secret('uuid-annotator-credentials')],
    }),

    pusher: sidecar('pusher', [
      '-bucket=pusher-' + p.project,
      '-experiment=' + p.experiment,
      '-archive_size_threshold=50MB',
      '-sigterm_wait_time=40s',
      '-directory=' + spool,
      '-metadata=MLAB.server.name=$(MLAB_NODE_NAME)',
      '-metadata=MLAB.experiment.name=' + p.experiment,
      '-metadata=MLAB.pusher.image=' + image('pusher'),
      '-metadata=MLAB.pusher.src.url=https://github.com/m-lab/pusher',
    ] + ['-datatype=' + datatype for datatype in archived], {
      env: p.env { GOOGLE_APPLICATION_CREDENTIALS: '/etc/credentials/pusher.json' },
      mounts: [data, secret('pusher-credentials')],
      root: true,
      // A lease on a file tells whether anybody still writes to it; of others' files it takes a right.
      capabilities: ['DAC_OVERRIDE', 'LEASE'],
    }),

    jostler: sidecar('jostler', [
      '-gcs-bucket=pusher-' + p.project,
      '-gcs-data-dir=autoload/v1',
      '-experiment=' + p.experiment,
      '-bundle-size-max=52428800',
      '-bundle-age-max=1h',
      '-local-data-dir=/var/spool',
      '-extensions=.json',
      '-missed-age=2h',
      '-missed-interval=5m',
    ] + [
      '-datatype=' + datatype
      for datatype in p.datatypes.autoloaded
    ] + [
      '-datatype-schema-file=%s:%s/%s.json' % [datatype, if datatype in p.schemas then volumes.columns else volumes.schemas, datatype]
      for datatype in p.datatypes.autoloaded
    ], {
      env: p.env { GOOGLE_APPLICATION_CREDENTIALS: '/etc/credentials/pusher.json' },
      mounts: [data, schemas] + (if p.schemas == {} then [] else [container.mount('schemas', volumes.columns)]) + [secret('pusher-credentials')],
      root: true,
      capabilities: ['DAC_OVERRIDE', 'LEASE'],
    }),

    heartbeat: sidecar('heartbeat', [
      '-heartbeat-url=' + p.urls.heartbeat,
      '-registration-url=' + p.urls.registration,
      '-token-exchange-url=' + p.urls.token_exchange,
      '-experiment=' + p.experiment,
      '-hostname=%s-$(MLAB_NODE_NAME)' % p.experiment,
      '-node=$(MLAB_NODE_NAME)',
      '-pod=$(MLAB_POD_NAME)',
      '-namespace=$(MLAB_POD_NAMESPACE)',
      '-kubernetes-url=https://kubernetes.default.svc:443',
    ] + ['-services=%s=%s' % [name, std.join(',', p.services[name])] for name in std.objectFields(p.services)], {
      env: p.env {
        MLAB_POD_NAME: container.fromField('metadata.name'),
        MLAB_POD_NAMESPACE: container.fromField('metadata.namespace'),
        API_KEY: { secret: 'locate-heartbeat-key', key: 'api-key' },
      },
      mounts: [container.mount('metadata', '/metadata'), container.mount('api-access', '/var/run/secrets/kubernetes.io/serviceaccount')],
    }),

    'revtr-sidecar': sidecar('revtr-sidecar', [
      '-revtr.sampling=4',
      '-tcpinfo.eventsocket=' + volumes.eventSocket,
    ], {
      env: p.env { REVTR_APIKEY: { secret: 'revtr-apikey', key: 'revtr-apikey-txt' } },
      mounts: [events()],
    }),

    access: sidecar('access', [
      '-envelope.listen-address=:4443',
      '-envelope.device=net1',
      '-envelope.machine=$(MLAB_NODE_NAME)',
      '-envelope.cert=/certs/tls.crt',
      '-envelope.key=/certs/tls.key',
      '-envelope.verify-key=/verify/jwk_sig_EdDSA_locate_20200409.pub',
    ], {
      mounts: [container.mount('tls', '/certs'), container.mount('verify-keys', '/verify')],
      root: true,
      capabilities: ['NET_ADMIN', 'NET_RAW'],
    }),
  };

  {
    ports:: PORTS,
    // Datatypes that somebody writes or carries away, each with its directory in the spool.
    datatypes:: if p.sidecars.measurement then std.uniq(std.sort(archived + p.datatypes.autoloaded + ['annotation2'])) else [],
    // Before the measurement: all that must listen when its first client comes.
    before: (if p.sidecars.measurement then [all[name] for name in ['tcp-info', 'traceroute-caller', 'packet-headers', 'uuid-annotator', 'pusher']] else [])
            + (if p.sidecars.measurement && p.datatypes.autoloaded != [] then [all.jostler] else []),
    after: (if p.sidecars.heartbeat then [all.heartbeat] else [])
           + (if p.sidecars.revtr then [all['revtr-sidecar']] else [])
           + (if p.sidecars.access then [all.access] else []),
    // Volumes that these mount, by the Secret behind each.
    credentials: (if p.sidecars.measurement then { 'uuid-annotator-credentials': 'uuid-annotator-credentials', 'pusher-credentials': 'pusher-credentials' } else {})
                 + (if p.sidecars.access then { tls: 'measurement-lab-org-tls', 'verify-keys': 'locate-verify-keys' } else {}),
  }
