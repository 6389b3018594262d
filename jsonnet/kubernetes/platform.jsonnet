// What all experiments of one project's cluster stand on: networks, shared roles, priorities, system services.
//
// document: {project, cluster_cidr, api_address, images: {name: image}, commands: {name: [word]}, loop: null or {env, repository, targets}}
local objects = import '../lib/objects.libsonnet';
local require = import '../lib/require.libsonnet';
local tokens = import 'epoxy_tokens.libsonnet';
local networks = import 'networks.libsonnet';
local proxies = import 'proxies.libsonnet';
local reconciler = import 'reconciler.libsonnet';
local system = import 'system.libsonnet';

function(document)
  local p = require('platform', document, ['project', 'cluster_cidr', 'images', 'commands']);
  // Each object says which pinned image is behind it, so that a change is blamed on that line.
  local from(image, manifests) = [{ image: image, manifest: manifest } for manifest in manifests];
  from(null, [networks.definition] + networks.shared + [
    objects.priorityClass('mlab-experiment', 1000, 'Measurements.'),
    objects.priorityClass('mlab-system', 10000, 'What tells how a node is, and its network: kept when a node runs short.'),
    objects.role('mlab-heartbeat', '', [objects.rule('', ['nodes'], ['get'])]),
    objects.role(proxies.role, '', [
      objects.rule('authentication.k8s.io', ['tokenreviews'], ['create']),
      objects.rule('authorization.k8s.io', ['subjectaccessreviews'], ['create']),
    ]),
  ])
  + std.flattenArrays([
    from(name, system[name](p))
    for name in std.objectFields(system)
    if name in p.images
  ])
  + (if std.get(p, 'loop') != null && 'reconciler' in p.images then from('reconciler', reconciler(p)) else [])
  + (if 'epoxy-tokens' in p.images then from('epoxy-tokens', tokens.manifests(p)) else [])
