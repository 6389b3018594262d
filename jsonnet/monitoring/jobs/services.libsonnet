// Jobs with one known address: the services around the fleet, and the monitoring itself.
local scrape = import '../lib/scrape.libsonnet';

local static(address) = [{ targets: [address] }];

function(document) [
  { job_name: 'prometheus', static_configs: static(document.prometheus) },
  { job_name: 'alertmanager', static_configs: static(document.alertmanager.address) },
  {
    job_name: 'epoxy-boot-api',
    static_configs: static(scrape.service(document, 'epoxy-boot-api') + ':9000'),
  },
  {
    job_name: 'epoxy-extension-server',
    static_configs: static(scrape.service(document, 'epoxy-extension-server') + ':8800'),
  },
  {
    // Its series name machines and sites of their own.
    job_name: 'github-maintenance-exporter',
    scheme: 'https',
    honor_labels: true,
    static_configs: static(scrape.service(document, 'gmx') + ':443'),
  },
  {
    // Behind a load balancer every scrape meets another instance: only whether one answers means anything.
    job_name: 'blackbox-exporter-ipv4',
    static_configs: static(scrape.inside('blackbox-service') + ':9115'),
    metric_relabel_configs: [scrape.drop(['__name__'], '.*')],
  },
  {
    job_name: 'blackbox-exporter-ipv6',
    static_configs: static(scrape.service(document, 'blackbox-exporter-ipv6') + ':9115'),
  },
]
