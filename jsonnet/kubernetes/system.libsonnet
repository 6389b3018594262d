// What every node runs besides experiments: numbers about the machine, its containers, and the cluster's network.
// One component per image of `config/images/system.yaml` that is known here; without its image it is not deployed.
local container = import '../lib/container.libsonnet';
local objects = import '../lib/objects.libsonnet';
local require = import '../lib/require.libsonnet';
local directories = import 'directories.libsonnet';
local proxies = import 'proxies.libsonnet';
local volumes = import 'volumes.libsonnet';

// Maintenance takes experiments off a node; these have to go on telling how it is.
local LAME_DUCK = { key: 'lame-duck', operator: 'Exists', effect: 'NoSchedule' };
local CONTROL_PLANE = { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists', effect: 'NoSchedule' };
local EVERYTHING = { operator: 'Exists', effect: 'NoSchedule' };

local NOBODY = { runAsUser: 65534, runAsGroup: 65534 };

local daemon(name, namespace, spec, annotations={}) =
  objects.daemonSet(name, namespace, '10%', {
    metadata: { labels: { workload: name, 'vector.dev/exclude': 'true' }, [if annotations != {} then 'annotations']: annotations },
    spec: { serviceAccountName: name, automountServiceAccountToken: false, priorityClassName: 'mlab-system' } + spec,
  });

local scraped(scheme) = { 'prometheus.io/scrape': 'true', 'prometheus.io/scheme': scheme };

{
  'node-exporter'(params): [
    objects.serviceAccount('node-exporter', 'default'),
    objects.binding('mlab-metrics-proxy-node-exporter', '', proxies.role, 'node-exporter', 'default'),
    daemon('node-exporter', 'default', {
      hostNetwork: true,
      hostPID: true,
      dnsPolicy: 'Default',
      tolerations: [LAME_DUCK, CONTROL_PLANE],
      securityContext: NOBODY,
      containers: [
        container.new({
          name: 'node-exporter',
          image: params.images['node-exporter'],
          args: [
            '--web.listen-address=127.0.0.1:9100',
            '--path.rootfs=/host/root',
            '--collector.textfile.directory=/var/spool/node-exporter',
            '--no-collector.arp',
            '--no-collector.bcache',
            '--no-collector.bonding',
          ],
          mounts: [
            container.mount('root', '/host/root') { mountPropagation: 'HostToContainer' },
            container.mount('textfile', '/var/spool/node-exporter'),
          ],
        }),
      ] + proxies.containers({ ports: { 'node-exporter': 9100 }, images: params.images }),
      volumes: [
        volumes.hostPath('root', '/', ''),
        volumes.hostPath('textfile', '/cache/data/node-exporter'),
        proxies.access,
      ],
    }, scraped('https')),
  ],

  cadvisor(params): [
    objects.serviceAccount('cadvisor', 'default'),
    daemon('cadvisor', 'default', {
      tolerations: [LAME_DUCK],
      containers: [container.new({
        name: 'cadvisor',
        image: params.images.cadvisor,
        args: ['-port=8080', '--housekeeping_interval=60s', '--max_housekeeping_interval=75s', '--docker_only=false', '--disable_metrics=advtcp,cpu_topology,hugetlb,memory_numa,percpu,process,sched,tcp,udp'],
        metricsPort: 8080,
        root: true,
        mounts: [
          container.mount('rootfs', '/rootfs'),
          container.mount('run', '/var/run'),
          container.mount('sys', '/sys'),
          container.mount('containerd', '/var/lib/containerd'),
        ],
      })],
      volumes: [
        volumes.hostPath('rootfs', '/', ''),
        volumes.hostPath('run', '/var/run', ''),
        volumes.hostPath('sys', '/sys', ''),
        volumes.hostPath('containerd', '/var/lib/containerd', ''),
      ],
    }, scraped('http')),
  ],

  // The numbers of a site's switch, seen from the first machine that asks for them.
  disco(params): [
    objects.serviceAccount('disco', 'default'),
    daemon('disco', 'default', {
      nodeSelector: { 'mlab/type': 'physical', 'mlab/managed': 'switch-machine' },
      terminationGracePeriodSeconds: 120,
      tolerations: [LAME_DUCK],
      securityContext: NOBODY,
      initContainers: [
        directories({ name: 'set-data-dir-perms', image: params.images.busybox, volume: 'utilization-data', top: '/var/spool/utilization', below: ['switch'] }),
      ],
      containers: [
        container.new({
          name: 'disco',
          image: params.images.disco,
          args: [
            '-datadir=/var/spool/utilization/switch',
            '-hostname=$(MLAB_NODE_NAME)',
            '-metrics=/etc/disco/metrics.yaml',
            '-write-interval=5m',
            '-prometheusx.listen-address=$(PRIVATE_IP):9990',
          ],
          env: {
            MLAB_NODE_NAME: container.fromField('spec.nodeName'),
            PRIVATE_IP: container.fromField('status.podIP'),
            DISCO_COMMUNITY: { secret: 'snmp-community', key: 'snmp.community' },
          },
          metricsPort: 9990,
          mounts: [container.mount('utilization-data', '/var/spool/utilization', readOnly=false), container.mount('metrics', '/etc/disco')],
        }),
        container.new({
          name: 'pusher',
          image: params.images.pusher,
          command: std.get(params.commands, 'pusher', []),
          hardened: 'pusher' in params.commands,
          args: [
            '-prometheusx.listen-address=$(PRIVATE_IP):9995',
            '-bucket=pusher-' + params.project,
            '-experiment=utilization',
            '-datatype=switch',
            '-archive_size_threshold=50MB',
            '-sigterm_wait_time=40s',
            '-directory=/var/spool/utilization',
            '-metadata=MLAB.server.name=$(MLAB_NODE_NAME)',
            '-metadata=MLAB.experiment.name=utilization',
          ],
          env: {
            MLAB_NODE_NAME: container.fromField('spec.nodeName'),
            PRIVATE_IP: container.fromField('status.podIP'),
            GOOGLE_APPLICATION_CREDENTIALS: '/etc/credentials/pusher.json',
          },
          metricsPort: 9995,
          root: true,
          capabilities: ['DAC_OVERRIDE', 'LEASE'],
          mounts: [container.mount('utilization-data', '/var/spool/utilization', readOnly=false), container.mount('pusher-credentials', '/etc/credentials')],
        }),
      ],
      volumes: [
        volumes.hostPath('utilization-data', '/cache/data/utilization'),
        { name: 'metrics', configMap: { name: 'disco-metrics', defaultMode: 420 } },
        { name: 'pusher-credentials', secret: { secretName: 'pusher-credentials', defaultMode: 420 } },
      ],
    }, scraped('http') { 'mlab.io/config-sha256': std.sha256(std.toString($.discoMetrics)) }),
    objects.configMap('disco-metrics', 'default', { 'metrics.yaml': std.manifestYamlDoc($.discoMetrics, quote_keys=false) + '\n' }),
  ],

  // Interface counters of IF-MIB, as the archive has recorded them since 2016.
  discoMetrics:: [
    {
      name: counter[0],
      description: counter[1],
      oidStub: counter[2],
      mlabUplinkName: 'switch.%s.uplink.%s' % counter[3:],
      mlabMachineName: 'switch.%s.local.%s' % counter[3:],
    }
    for counter in [
      ['ifHCInOctets', 'Ingress octets.', '.1.3.6.1.2.1.31.1.1.1.6', 'octets', 'rx'],
      ['ifHCOutOctets', 'Egress octets.', '.1.3.6.1.2.1.31.1.1.1.10', 'octets', 'tx'],
      ['ifHCInUcastPkts', 'Ingress unicast packets.', '.1.3.6.1.2.1.31.1.1.1.7', 'unicast', 'rx'],
      ['ifHCOutUcastPkts', 'Egress unicast packets.', '.1.3.6.1.2.1.31.1.1.1.11', 'unicast', 'tx'],
      ['ifInErrors', 'Ingress errors.', '.1.3.6.1.2.1.2.2.1.14', 'errors', 'rx'],
      ['ifOutErrors', 'Egress errors.', '.1.3.6.1.2.1.2.2.1.20', 'errors', 'tx'],
      ['ifInDiscards', 'Ingress discards.', '.1.3.6.1.2.1.2.2.1.13', 'discards', 'rx'],
      ['ifOutDiscards', 'Egress discards.', '.1.3.6.1.2.1.2.2.1.19', 'discards', 'tx'],
    ]
  ],

  // The cluster's own network between pods: VXLAN, by the address that a node is known by.
  flannel(params):
    local images = require('flannel', params.images, ['flannel', 'flannel-cni']);
    local conf = {
      'cni-conf.json': std.manifestJsonEx({
        name: 'cbr0',
        cniVersion: '0.3.1',
        plugins: [
          { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true } },
          { type: 'portmap', capabilities: { portMappings: true } },
        ],
      }, '  '),
      'net-conf.json': std.manifestJsonEx({ Network: params.cluster_cidr, Backend: { Type: 'vxlan' } }, '  '),
    };
    [
      objects.serviceAccount('flannel', 'kube-system'),
      objects.role('mlab-flannel', '', [
        objects.rule('', ['pods'], ['get']),
        objects.rule('', ['nodes'], ['get', 'list', 'watch']),
        objects.rule('', ['nodes/status'], ['patch']),
      ]),
      objects.binding('mlab-flannel', '', 'mlab-flannel', 'flannel', 'kube-system'),
      objects.configMap('flannel-conf', 'kube-system', conf),
      daemon('flannel', 'kube-system', {
        hostNetwork: true,
        dnsPolicy: 'Default',
        automountServiceAccountToken: true,
        tolerations: [EVERYTHING],
        initContainers: [
          container.new({
            name: 'install-cni-plugin',
            image: images['flannel-cni'],
            command: ['cp', '-f', '/flannel', '/opt/cni/bin/flannel'],
            root: true,
            capabilities: ['DAC_OVERRIDE'],
            mounts: [container.mount('cni-plugin', '/opt/cni/bin', readOnly=false)],
          }),
        ],
        containers: [container.new({
          name: 'flannel',
          image: images.flannel,
          command: ['/opt/bin/flanneld'],
          args: ['--ip-masq', '--kube-subnet-mgr'],
          env: {
            POD_NAME: container.fromField('metadata.name'),
            POD_NAMESPACE: container.fromField('metadata.namespace'),
            EVENT_QUEUE_DEPTH: '5000',
          },
          resources: { cpu: { request: '100m' }, memory: { request: '50Mi' } },
          root: true,
          capabilities: ['NET_ADMIN', 'NET_RAW'],
          mounts: [
            container.mount('run', '/run/flannel', readOnly=false),
            container.mount('conf', '/etc/kube-flannel'),
            container.mount('xtables-lock', '/run/xtables.lock', readOnly=false),
          ],
        })],
        volumes: [
          volumes.hostPath('run', '/run/flannel'),
          volumes.hostPath('cni-plugin', '/opt/cni/bin'),
          volumes.hostPath('xtables-lock', '/run/xtables.lock', 'FileOrCreate'),
          { name: 'conf', configMap: { name: 'flannel-conf', defaultMode: 420 } },
        ],
      }, { 'mlab.io/config-sha256': std.sha256(std.manifestJsonMinified(conf)) }),
    ],
}
