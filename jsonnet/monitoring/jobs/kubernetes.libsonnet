// Jobs whose targets come from the cluster itself: API servers, etcd, nodes, pods, services.
local scrape = import '../lib/scrape.libsonnet';

local pod = '__meta_kubernetes_pod_';
local annotation = pod + 'annotation_prometheus_io_';

// What a pod's series are called by. Other programs rely on these labels: they are an interface.
local podLabels = [
  scrape.map(pod + 'label_(.+)'),
  scrape.copy(['__meta_kubernetes_namespace'], 'namespace'),
  scrape.copy([pod + 'name'], 'pod'),
  scrape.copy([pod + 'container_name'], 'container'),
  scrape.copy([pod + 'ready'], 'ready'),
  scrape.copy([pod + 'node_name'], 'node'),
  scrape.copy([pod + 'node_name'], 'machine'),
  scrape.copy([pod + 'node_name'], 'site', scrape.site),
  // The pod's name without what its controller generated.
  scrape.copy([pod + 'controller_kind', pod + 'name'], 'deployment', 'DaemonSet;(.+)-[a-z0-9]{5}'),
  scrape.copy([pod + 'controller_kind', pod + 'name'], 'deployment', 'ReplicaSet;(.+)-[a-z0-9]+-[a-z0-9]{5}'),
  scrape.copy([pod + 'controller_kind', pod + 'name'], 'deployment', 'StatefulSet;(.+)-[0-9]+'),
];

// Every declared TCP port of an annotated, running pod, or the one that its annotation names. Ports whose own name says
// that they serve clients (`http`, `ndt5-tls`) have no metrics: scraped, they would fail for ever.
local podTargets = [
  scrape.keep([annotation + 'scrape'], 'true'),
  scrape.drop([pod + 'phase'], 'Pending|Succeeded|Failed|Unknown'),
  scrape.keep([pod + 'container_port_number', pod + 'container_port_protocol'], '[0-9]+;TCP'),
  scrape.keep([pod + 'container_port_name', annotation + 'port'], '(|metrics.*|m[0-9]+);.*|[^;]*;[0-9]+'),
  scrape.copy([pod + 'container_port_number'], '__tmp_port'),
  scrape.copy([annotation + 'port'], '__tmp_port', '([0-9]+)'),
  { source_labels: [pod + 'container_port_number'], target_label: '__tmp_port', action: 'keepequal' },
  scrape.copy([annotation + 'metrics_path'], '__metrics_path__', '(.+)'),
];

local podSamples = [
  // The port of a switch that leads out of the site: `uplink-10g` is two facts.
  scrape.copy(['ifAlias'], 'speed', 'uplink-([0-9]+g)'),
  scrape.copy(['ifAlias'], 'ifAlias', 'uplink-[0-9]+g', 'uplink'),
  // What kube-state-metrics says is about the node it names, not about the node it runs on.
  scrape.copy(['__name__', 'node'], 'machine', 'kube_[^;]+;(.+)'),
  scrape.copy(['__name__', 'node'], 'site', 'kube_[^;]+;' + scrape.site),
];

function(document) [
  {
    job_name: 'kubernetes-apiservers',
    scheme: 'https',
    kubernetes_sd_configs: scrape.discovery(document, 'endpointslice'),
    relabel_configs: [
      scrape.keep(
        [
          '__meta_kubernetes_namespace',
          '__meta_kubernetes_service_name',
          '__meta_kubernetes_endpointslice_port_name',
        ],
        'default;kubernetes;https'
      ),
    ],
  } + scrape.inCluster,
  {
    job_name: 'kubernetes-etcd',
    kubernetes_sd_configs: scrape.discovery(document, 'node'),
    relabel_configs: [
      scrape.keep(['__meta_kubernetes_node_name'], '(api|master)-platform-cluster-.+'),
      scrape.copy(['__meta_kubernetes_node_address_InternalIP'], '__address__', '(.+)', '$1:2381'),
      scrape.copy(['__meta_kubernetes_node_name'], 'node'),
    ],
  },
  {
    // Through the API server, which reaches every kubelet; the kubelets of the fleet are not open to the world.
    job_name: 'kubernetes-nodes',
    scheme: 'https',
    kubernetes_sd_configs: scrape.discovery(document, 'node'),
    relabel_configs: [
      scrape.map('__meta_kubernetes_node_label_(.+)'),
      scrape.copy(['__meta_kubernetes_node_name'], 'node'),
      scrape.copy(['__meta_kubernetes_node_name'], 'machine'),
      scrape.copy(['__meta_kubernetes_node_name'], 'site', scrape.site),
      scrape.copy(
        ['__meta_kubernetes_node_name'], '__metrics_path__', '(.+)', '/api/v1/nodes/$1/proxy/metrics'
      ),
      scrape.set('__address__', 'kubernetes.default.svc:443'),
    ],
  } + scrape.inCluster,
  {
    job_name: 'kubernetes-pods',
    honor_labels: true,
    kubernetes_sd_configs: scrape.discovery(document, 'pod'),
    relabel_configs: podTargets + [scrape.drop([annotation + 'scheme'], 'https')] + podLabels,
    metric_relabel_configs: podSamples,
  },
  {
    job_name: 'proxied-workloads',
    scheme: 'https',
    honor_labels: true,
    kubernetes_sd_configs: scrape.discovery(document, 'pod'),
    relabel_configs: podTargets + [scrape.keep([annotation + 'scheme'], 'https')] + podLabels,
    metric_relabel_configs: podSamples,
  } + scrape.behindRbacProxy,
  {
    job_name: 'kubernetes-service-endpoints',
    kubernetes_sd_configs: scrape.discovery(document, 'endpointslice'),
    relabel_configs: [
      scrape.keep(['__meta_kubernetes_service_annotation_prometheus_io_scrape'], 'true'),
      scrape.copy(['__meta_kubernetes_service_annotation_prometheus_io_scheme'], '__scheme__', '(https?)'),
      scrape.copy(['__meta_kubernetes_service_annotation_prometheus_io_path'], '__metrics_path__', '(.+)'),
      scrape.copy(
        ['__address__', '__meta_kubernetes_service_annotation_prometheus_io_port'],
        '__address__',
        '([^:]+)(?::[0-9]+)?;([0-9]+)',
        '$1:$2'
      ),
      scrape.map('__meta_kubernetes_service_label_(.+)'),
      scrape.copy(['__meta_kubernetes_namespace'], 'namespace'),
      scrape.copy(['__meta_kubernetes_service_name'], 'service'),
    ],
  },
]
