// prometheus.yml of one environment's platform cluster.
//
// document: {project, domain, interval, proxy_url | null, kubeconfig_file | null, prometheus: address,
//            alertmanager: {scheme, address, path}, rule_files: [path]}
local kubernetes = import 'jobs/kubernetes.libsonnet';
local probes = import 'jobs/probes.libsonnet';
local services = import 'jobs/services.libsonnet';
local scrape = import 'lib/scrape.libsonnet';

function(document)
  assert std.length(document.rule_files) > 0 : 'prometheus: document.rule_files is empty: nothing would ever alert';
  {
    global: {
      scrape_interval: document.interval,
      scrape_timeout: '10s',
      evaluation_interval: '60s',
      // Tens of thousands of ports are discovered only to be dropped: a few are enough to see why.
      keep_dropped_targets: 100,
    },
    alerting: {
      alertmanagers: [
        {
          scheme: document.alertmanager.scheme,
          api_version: 'v2',
          static_configs: [{ targets: [document.alertmanager.address] }],
        }
        + (if document.alertmanager.path == '' then {} else { path_prefix: document.alertmanager.path })
        + (
          if document.alertmanager.scheme == 'https' then {
            basic_auth: { username: 'mlab', password_file: '/etc/alertmanager/password' },
          } else {}
        ),
      ],
    },
    rule_files: document.rule_files,
    scrape_configs: [
      scrape.through(document, job)
      for job in services(document) + kubernetes(document) + probes(document)
    ],
  }
