// The pod of one placement: sidecars that listen first, the measurement, those that announce it, and extras.
local container = import '../lib/container.libsonnet';
local require = import '../lib/require.libsonnet';
local init = import 'init.libsonnet';
local networks = import 'networks.libsonnet';
local proxies = import 'proxies.libsonnet';
local sidecars = import 'sidecars.libsonnet';
local volumes = import 'volumes.libsonnet';

function(params)
  local p = require('pod', params, ['experiment', 'sites_without_slot', 'namespace', 'placement', 'sidecars', 'datatypes', 'volumes', 'configMaps', 'images', 'commands', 'project']);
  local placement = require('pod', p.placement, ['name', 'type', 'hostNetwork', 'selector', 'measurement', 'containers', 'rollout']);
  local host = placement.hostNetwork;
  assert host || std.get(p, 'index', null) != null : 'component pod: parameter index of %s is missing: a pod outside the host network needs one' % p.experiment;
  assert host || std.get(p, 'firewall', null) != null : 'component pod: parameter firewall of %s is missing: a pod with public addresses needs one' % p.experiment;
  // The pusher collects for 40 s after it was told to end, and then uploads for 55 s at most.
  local inTime = !p.sidecars.measurement || p.project == 'mlab-sandbox' || placement.rollout.graceSeconds >= 100;
  assert inTime : 'component pod: parameter rollout.graceSeconds of %s is %d: the pusher would be killed while it uploads; give it 100 at least' % [placement.name, placement.rollout.graceSeconds];

  local standard = volumes.standard(p.experiment);
  local env = {
    MLAB_NODE_NAME: container.fromField('spec.nodeName'),
    MLAB_NODE_TYPE: placement.type,
    [if !host then 'PRIVATE_IP']: container.fromField('status.podIP'),
  };
  local beside = sidecars(p {
    env: env,
    names: standard,
    address: if host then '127.0.0.1' else '$(PRIVATE_IP)',
  });

  // Mounts in the configuration's words; a name that is not declared would only fail on the nodes.
  local declared = [volume.name for volume in p.volumes];
  local mount(given) =
    local known = given.volume in standard || std.member(declared, given.volume);
    assert known : 'component pod: parameter mounts of %s: volume %s is not declared' % [placement.name, given.volume];
    container.mount(std.get(standard, given.volume, given.volume), given.path, std.get(given, 'readOnly', true), std.get(given, 'subPath', ''));
  local described(c, first=[]) = container.new(c {
    env: env + std.get(c, 'env', {}),
    mounts: first + [mount(given) for given in std.get(c, 'mounts', [])],
    metricsPort: if host then null else std.get(c, 'metricsPort', null),
  });

  // The measurement sees its own datatypes and not what the sidecars leave beside them.
  local spool = volumes.spool(p.experiment);
  local own = p.datatypes.archived + p.datatypes.autoloaded;
  local measurement = described(placement.measurement, [
    container.mount(volumes.dataName(p.experiment + '/' + datatype), '%s/%s' % [spool, datatype], readOnly=false)
    for datatype in own
  ]);
  local more = [described(c) for c in placement.containers];
  local main = beside.before + [measurement];

  // Who serves metrics: on the host's network each of them gets a proxy.
  local serving =
    { [c.name]: beside.ports[c.name] for c in beside.before + beside.after }
    + { [c.name]: c.metricsPort for c in [placement.measurement] + placement.containers if std.get(c, 'metricsPort', null) != null };
  local needsApi = p.sidecars.heartbeat || host;

  local preparation = init({
    experiment: p.experiment,
    images: p.images,
    commands: p.commands,
    names: standard,
    datatypes: beside.datatypes,
    measurement: p.sidecars.measurement,
    firewall: !host,
    placement: placement { initContainers: [c { mounts: [mount(given) for given in std.get(c, 'mounts', [])] } for c in placement.initContainers] },
  });

  local mounted = std.set([
    m.name
    for c in preparation + main + beside.after + more
    for m in std.get(c, 'volumeMounts', [])
  ] + (if needsApi then ['api-access'] else []));
  local root = '/cache/data/' + p.experiment;
  local available =
    [volumes.hostPath(standard.data, root)]
    + [volumes.hostPath(volumes.dataName(p.experiment + '/' + datatype), root + '/' + datatype) for datatype in own]
    + [
      volumes.hostPath(standard.datatypes, '/cache/datatypes/' + p.experiment),
      volumes.hostPath('metadata', '/var/local/metadata', 'Directory'),
      volumes.emptyDir(standard['uuid-prefix']),
      volumes.emptyDir(standard.events),
      volumes.emptyDir(standard.annotator),
      { name: 'nftables', configMap: { name: p.experiment + '-nftables', defaultMode: 420 } },
      { name: 'schemas', configMap: { name: volumes.columnsName(p.experiment), defaultMode: 420 } },
      proxies.access,
    ]
    + [
      { name: name, secret: { secretName: beside.credentials[name], defaultMode: 420 } }
      for name in std.objectFields(beside.credentials)
      if !std.member(declared, name)
    ]
    + [volumes.declared(p.experiment, volume) for volume in p.volumes];

  local absent = std.setDiff(mounted, std.set([volume.name for volume in available]));
  assert absent == [] : 'component pod: parameter volumes of %s: %s is mounted and not declared' % [placement.name, std.join(', ', absent)];

  local networkOf(name) = if p.namespace == 'default' then name else 'default/' + name;
  {
    metadata: {
      labels: { workload: placement.name, 'site-type': placement.type, 'vector.dev/exclude': 'true' },
      annotations: {
        // A change of rules or files has to reach running pods.
        [if p.configMaps != {} then 'mlab.io/config-sha256']: std.sha256(std.manifestJsonMinified(p.configMaps)),
        [if serving != {} then 'prometheus.io/scrape']: 'true',
        [if serving != {} then 'prometheus.io/scheme']: if host then 'https' else 'http',
        [if !host then 'k8s.v1.cni.cncf.io/networks']: std.manifestJsonMinified([
          { name: networks.indexName(p.index), [if p.namespace != 'default' then 'namespace']: 'default' },
        ]),
        [if !host then 'v1.multus-cni.io/default-network']: networkOf(networks.experimentDefault),
      },
    },
    spec: {
      serviceAccountName: p.experiment,
      automountServiceAccountToken: false,
      priorityClassName: 'mlab-experiment',
      nodeSelector: { 'mlab/type': placement.type } + placement.selector,
      // At these sites the prefix has no address for the index, and the pod would never start.
      [if !host && p.sites_without_slot != [] then 'affinity']: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{
              matchExpressions: [{ key: 'mlab/site', operator: 'NotIn', values: p.sites_without_slot }],
            }],
          },
        },
      },
      terminationGracePeriodSeconds: placement.rollout.graceSeconds,
      [if host then 'hostNetwork']: true,
      // Service addresses cannot be reached from a public interface.
      dnsPolicy: if host then 'Default' else 'None',
      [if !host then 'dnsConfig']: { nameservers: ['8.8.8.8', '8.8.4.4'] },
      securityContext: {
        runAsUser: 65534,
        runAsGroup: 65534,
        fsGroup: 65534,
        [if !host then 'sysctls']: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '80' }],
      },
      [if preparation != [] then 'initContainers']: preparation,
      containers: main + beside.after + more + (if host && serving != {} then proxies.containers({ ports: serving, images: p.images }) else []),
      [if mounted != [] then 'volumes']: [volume for volume in available if std.member(mounted, volume.name)],
    },
  }
