// What is made ready before an experiment's containers start, in this order.
local container = import '../lib/container.libsonnet';
local require = import '../lib/require.libsonnet';
local volumes = import 'volumes.libsonnet';

local NOBODY = '65534:65534';

// Directories that several users write to: those of nobody, whose group is inherited.
local owned(directories) =
  local list = std.join(' ', directories);
  'mkdir -p %s && chown -R %s %s && chmod 2775 %s' % [list, NOBODY, list, list];

function(params)
  local p = require('init', params, ['experiment', 'placement', 'images', 'names']);
  local image(name) = require('init', p.images, [name])[name];
  local spool = volumes.spool(p.experiment);
  local busybox(name, script, mounts) = container.new({
    name: name,
    image: image('busybox'),
    command: ['/bin/sh', '-c', script],
    mounts: mounts,
    root: true,
    capabilities: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'],
  });
  local measured = [
    container.new({
      name: 'set-up-uuid-prefix-file',
      image: image('uuid'),
      args: ['-prefix-file=' + volumes.uuidPrefix],
      mounts: [container.mount(p.names['uuid-prefix'], volumes.uuid, readOnly=false)],
    }),
    container.new({
      name: 'uuid-annotator-schema',
      image: image('uuid-annotator'),
      command: ['/generate-schemas', '-ann2=%s/annotation2.json' % volumes.schemas, '-hop2=%s/hopannotation2.json' % volumes.schemas],
      mounts: [container.mount(p.names.datatypes, volumes.schemas, readOnly=false)],
      root: true,
      capabilities: ['DAC_OVERRIDE'],
    }),
    busybox(
      'set-data-dir-perms',
      owned([spool, spool + '/hopannotation2', spool + '/scamper1']),
      [container.mount(p.names.data, spool, readOnly=false)],
    ),
    busybox(
      'set-datatypes-dir-perms',
      owned([volumes.schemas]),
      [container.mount(p.names.datatypes, volumes.schemas, readOnly=false)],
    ),
  ];
  local filtered = [container.new({
    name: 'set-nftables-rules',
    image: image('nftables'),
    command: ['nft', '-f', '/etc/nftables/rules.nft'],
    mounts: [container.mount('nftables', '/etc/nftables')],
    root: true,
    capabilities: ['NET_ADMIN'],
  })];
  (if p.measurement then measured else []) + (if p.firewall then filtered else []) + [container.new(more) for more in p.placement.initContainers]
