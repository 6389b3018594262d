// Pieces of scrape jobs. The document is the one of prometheus.jsonnet.
{
  local account = '/var/run/secrets/kubernetes.io/serviceaccount/',

  // How Prometheus proves itself to the API server from inside the cluster.
  inCluster: {
    tls_config: { ca_file: account + 'ca.crt' },
    authorization: { credentials_file: account + 'token' },
  },

  // Sidecar proxies present certificates of their own making; the token is what protects them.
  behindRbacProxy: {
    tls_config: { insecure_skip_verify: true },
    authorization: { credentials_file: account + 'token' },
  },

  discovery(document, role):: [
    { role: role } + (if document.kubeconfig_file == null then {} else { kubeconfig_file: document.kubeconfig_file }),
  ],

  service(document, name):: name + '.' + document.project + '.' + document.domain,
  inside(name):: name + '.default.svc.cluster.local',

  targetFiles(directory):: [{ files: ['targets/' + directory + '/*.json'], refresh_interval: '5m' }],

  // Relabelings in short.
  keep(sources, regex):: { source_labels: sources, regex: regex, action: 'keep' },
  drop(sources, regex):: { source_labels: sources, regex: regex, action: 'drop' },
  copy(sources, target, regex='(.*)', replacement='$1'):: {
    source_labels: sources,
    regex: regex,
    target_label: target,
    replacement: replacement,
  },
  set(target, value):: { target_label: target, replacement: value },
  map(regex):: { regex: regex, action: 'labelmap' },

  site: 'mlab[1-4]-([a-z]{3}[0-9tc]{2}).*',

  // Where the environment names a proxy, everything goes through it in clear text: nothing is asked directly, and no
  // credential leaves. Elsewhere the job is as it was written.
  through(document, job)::
    if document.proxy_url == null then job
    else
      local secret = ['tls_config', 'authorization', 'basic_auth', 'scheme'];
      { [key]: job[key] for key in std.objectFields(job) if !std.member(secret, key) }
      + {
        scheme: 'http',
        proxy_url: document.proxy_url,
        relabel_configs: std.get(job, 'relabel_configs', []) + [$.set('__scheme__', 'http')],
      },
}
