// alertmanager.yml out of config/alerts/routing.yaml.
//
// document: {project, environment, domain, receiver_url | null, routing: the file as it is}

function(document)
  local routing = document.routing;
  local filled(text) = std.foldl(
    function(t, key) std.strReplace(t, '{' + key + '}', document[key]), ['project', 'environment', 'domain'], text
  );
  local present(object, keys) = { [key]: object[key] for key in keys if std.get(object, key) != null };

  local resolved(r) = std.get(r, 'send_resolved', true);

  // Secrets are files beside the server: no receiver has one in here.
  local integration = {
    webhook(r):: {
      webhook_configs: [
        present(r, ['url_file', 'max_alerts'])
        + (if std.get(r, 'url') == null then {} else { url: filled(r.url) })
        + { send_resolved: resolved(r) },
      ],
    },
    slack(r):: {
      slack_configs: [{
        channel: '#' + filled(r.channel),
        api_url_file: r.url_file,
        send_resolved: resolved(r),
        title: '[{{ .Status }}] {{ .CommonLabels.alertname }}',
        text: '{{ range .Alerts }}{{ .Annotations.summary }}\n{{ end }}',
      }],
    },
    pagerduty(r):: { pagerduty_configs: [{ routing_key_file: r.key_file, send_resolved: resolved(r) }] },
    none(r):: {},
  };
  local receiver(name, r) =
    { name: name } + (
      if document.receiver_url == null || r.type == 'none' then integration[r.type](r)
      else {
        webhook_configs: [{ url: document.receiver_url + '/' + name, send_resolved: resolved(r) }],
      }
    );

  // One route of ours with several receivers is as many siblings, all but the last of which go on.
  local siblings(matchers, receivers, extra={}) = [
    { receiver: receivers[i] }
    + (if matchers == [] then {} else { matchers: [filled(m) for m in matchers] })
    + extra
    + (if i + 1 < std.length(receivers) then { continue: true } else {})
    for i in std.range(0, std.length(receivers) - 1)
  ];

  {
    global: present(routing, ['resolve_timeout']),
    route: { receiver: routing.default[0] } + present(routing, ['group_by', 'group_wait', 'group_interval', 'repeat_interval']) + {
      routes: std.flattenArrays([
        siblings(r.matchers, r.receivers, present(r, ['group_by', 'group_wait', 'group_interval', 'repeat_interval']))
        for r in routing.routes
      ]) + siblings([], routing.default),
    },
    inhibit_rules: [
      { source_matchers: rule.source, target_matchers: rule.target, equal: rule.equal }
      for rule in std.get(routing, 'inhibitions', [])
    ],
    receivers: [receiver(name, routing.receivers[name]) for name in std.objectFields(routing.receivers)],
  }
