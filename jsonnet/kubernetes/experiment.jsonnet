// All objects of one experiment in one project's cluster, out of its derived document.
local objects = import '../lib/objects.libsonnet';
local require = import '../lib/require.libsonnet';
local networks = import 'networks.libsonnet';
local nftables = import 'nftables.libsonnet';
local pod = import 'pod.libsonnet';
local proxies = import 'proxies.libsonnet';
local volumes = import 'volumes.libsonnet';

local HEARTBEAT = 'mlab-heartbeat';

local experiment(params) = {
  local p = require('experiment', params, ['experiment', 'namespace', 'project', 'placements', 'images', 'volumes', 'sidecars', 'schemas']),
  local inNetwork = [placement for placement in p.placements if !placement.hostNetwork],
  local onHost = [placement for placement in p.placements if placement.hostNetwork],

  local files =
    (if inNetwork == [] then {} else { [p.experiment + '-nftables']: { 'rules.nft': nftables(require('nftables', p, ['firewall']).firewall) } })
    + (if p.schemas == {} || !p.sidecars.measurement then {} else {
         // Columns of what is loaded as it is, as BigQuery writes them: one file a datatype.
         [volumes.columnsName(p.experiment)]: { [name + '.json']: std.manifestJsonMinified(p.schemas[name]) for name in std.objectFields(p.schemas) },
       })
    + { [p.experiment + '-' + volume.name]: volume.configMap for volume in p.volumes if 'configMap' in volume },

  namespaces: if p.namespace == 'default' then [] else [objects.namespace(p.namespace)],

  networks: if inNetwork == [] then [] else [networks.forIndex(require('networks', p, ['index']).index)],

  accounts: [objects.serviceAccount(p.experiment, p.namespace)],

  access:
    (if !p.sidecars.heartbeat then [] else [
       // It reports whether its own pod runs and its own node is ready.
       objects.role(p.experiment + '-heartbeat', p.namespace, [objects.rule('', ['pods'], ['get'])]),
       objects.binding(p.experiment + '-heartbeat', p.namespace, p.experiment + '-heartbeat', p.experiment, p.namespace),
       objects.binding('mlab-heartbeat-' + p.experiment, '', HEARTBEAT, p.experiment, p.namespace),
     ])
    + (if onHost == [] then [] else [
         objects.binding('mlab-metrics-proxy-' + p.experiment, '', proxies.role, p.experiment, p.namespace),
       ]),

  configMaps: [objects.configMap(name, p.namespace, files[name]) for name in std.objectFields(files)],

  daemonSets: [
    local template = pod(p { placement: placement, configMaps: files });
    local secrets = [volume.secret.secretName for volume in std.get(template.spec, 'volumes', []) if 'secret' in volume];
    objects.daemonSet(placement.name, p.namespace, placement.rollout.maxUnavailable, template) {
      metadata+: {
        [if std.member(secrets, 'measurement-lab-org-tls') then 'annotations']: {
          // Certificates are renewed outside of git; pods that hold one are restarted by the reloader.
          'secret.reloader.stakater.com/reload': 'measurement-lab-org-tls',
        },
      },
    }
    for placement in p.placements
  ],
};

function(document) std.flattenArrays([
  local made = experiment(document);
  made[part]
  for part in ['namespaces', 'networks', 'accounts', 'access', 'configMaps', 'daemonSets']
])
