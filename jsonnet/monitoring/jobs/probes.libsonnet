// Jobs that ask an exporter to look at something else: the address becomes a parameter, the exporter the address.
local scrape = import '../lib/scrape.libsonnet';

local instance = scrape.copy(['__address__'], 'instance');
local target = scrape.copy(['__address__'], '__param_target');

function(document) [
  {
    job_name: 'blackbox-targets',
    metrics_path: '/probe',
    scrape_timeout: '10s',
    file_sd_configs: scrape.targetFiles('blackbox-targets'),
    relabel_configs: [
      // The trailing dot keeps the resolver in the cluster from trying each of its search domains first.
      scrape.copy(['__address__'], '__param_target', '([^:]+)', '$1.'),
      scrape.copy(['__address__'], '__param_target', '([^:]+):([0-9]+)', '$1.:$2'),
      scrape.copy(['module'], '__param_module'),
      instance,
      scrape.set('__address__', scrape.inside('blackbox-service') + ':9115'),
    ],
  },
  {
    // The cluster's network has no IPv6: this exporter runs on a machine of its own.
    job_name: 'blackbox-targets-ipv6',
    metrics_path: '/probe',
    scrape_timeout: '10s',
    file_sd_configs: scrape.targetFiles('blackbox-targets-ipv6'),
    relabel_configs: [
      target,
      scrape.copy(['module'], '__param_module'),
      instance,
      scrape.set('__address__', scrape.service(document, 'blackbox-exporter-ipv6') + ':9115'),
    ],
  },
  {
    job_name: 'nginx-proxied-services',
    metrics_path: '/probe',
    params: { module: ['nginx_proxy_svcs_online'] },
    static_configs: [{
      targets: [
        'https://' + scrape.service(document, name)
        for name in ['alertmanager', 'gmx', 'grafana', 'prometheus', 'prometheus-basicauth']
      ],
    }],
    relabel_configs: [
      scrape.copy(['__address__'], 'service', 'https://([^.]+).*'),
      scrape.copy(['__address__'], '__param_target'),
      scrape.copy(['__address__'], '__param_target', '(https://grafana.*)', '$1/login'),
      scrape.copy(['__address__'], '__param_target', '(https://prometheus.*)', '$1/graph'),
      instance,
      scrape.set('__address__', scrape.inside('blackbox-service') + ':9115'),
    ],
  },
  {
    // A real client runs for each scrape, so the exporter needs most of the interval.
    job_name: 'script-targets',
    metrics_path: '/probe',
    scrape_timeout: '50s',
    file_sd_configs: scrape.targetFiles('script-targets'),
    relabel_configs: [
      scrape.copy(['service'], '__param_name'),
      target,
      instance,
      // What Locate looks servers up by.
      scrape.copy(['experiment', 'machine'], 'fqdn', '([a-z0-9]+)[^;]*;(.+)', '$1-$2'),
      scrape.set('__address__', scrape.inside('script-exporter') + ':9172'),
    ],
  },
  {
    job_name: 'bmc-targets',
    metrics_path: '/v1/e2e',
    scheme: 'https',
    scrape_timeout: '60s',
    basic_auth: { username: 'reboot-api', password_file: '/etc/prometheus/reboot-api-password' },
    file_sd_configs: scrape.targetFiles('bmc-targets'),
    relabel_configs: [
      target,
      instance,
      scrape.copy(['machine'], 'site', scrape.site),
      scrape.set('__address__', scrape.service(document, 'reboot') + ':443'),
    ],
  },
  {
    job_name: 'switch-monitoring-targets',
    metrics_path: '/v1/check',
    scrape_timeout: '40s',
    file_sd_configs: scrape.targetFiles('switch-monitoring-targets'),
    relabel_configs: [
      target,
      instance,
      scrape.set('__address__', scrape.inside('switch-monitoring-service') + ':8080'),
    ],
  },
]
