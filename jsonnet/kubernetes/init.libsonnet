// What is made ready before an experiment's containers start, in this order.
local container = import '../lib/container.libsonnet';
local require = import '../lib/require.libsonnet';
local directories = import 'directories.libsonnet';
local volumes = import 'volumes.libsonnet';

function(params)
  local p = require('init', params, ['experiment', 'placement', 'images', 'commands', 'names', 'datatypes']);
  local image(name) = require('init', p.images, [name])[name];
  local measured = [
    container.new({
      name: 'set-up-uuid-prefix-file',
      image: image('uuid'),
      command: std.get(p.commands, 'uuid', []),
      hardened: 'uuid' in p.commands,
      args: ['-filename=' + volumes.uuidPrefix],
      // The host's name would be that of the node where a pod uses the node's network.
      env: { POD_NAME: container.fromField('metadata.name') },
      mounts: [container.mount(p.names['uuid-prefix'], volumes.uuid, readOnly=false)],
      root: true,
    }),
    container.new({
      name: 'uuid-annotator-schema',
      image: image('uuid-annotator'),
      command: ['/generate-schemas', '-ann2=%s/annotation2.json' % volumes.schemas, '-hop2=%s/hopannotation2.json' % volumes.schemas],
      mounts: [container.mount(p.names.datatypes, volumes.schemas, readOnly=false)],
      root: true,
      capabilities: ['DAC_OVERRIDE'],
    }),
    // The pusher watches a directory of each datatype, and ends where one is missing.
    directories({ name: 'set-data-dir-perms', image: image('busybox'), volume: p.names.data, top: volumes.spool(p.experiment), below: p.datatypes }),
    directories({ name: 'set-datatypes-dir-perms', image: image('busybox'), volume: p.names.datatypes, top: volumes.schemas, below: [] }),
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
