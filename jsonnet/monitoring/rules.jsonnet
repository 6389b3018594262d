// Rule files out of alert groups: {<group>: {groups: [...]}}.
//
// document: {project, domain, groups: [the groups of config/alerts, as they are there]}

// Machines and sites in maintenance are quiet; the exporter keeps the series at 0 after they leave it, and a site in
// maintenance takes its machines along.
local quiet = {
  none: [],
  machine: ['unless on (machine) (gmx_machine_maintenance == 1)'],
  site: ['unless on (site) (gmx_site_maintenance == 1)'],
};
local lameDuck = 'unless on (machine) kube_node_spec_taint{key="lame-duck"}';

local present(object, keys) = { [key]: object[key] for key in keys if std.get(object, key) != null };
local trimmed(text) = std.rstripChars(text, '\n ');
local without(expression, exclusions) =
  if exclusions == [] then expression else std.join('\n', ['(', expression, ')'] + exclusions);

function(document)
  local dashboard(a) =
    if std.startsWith(a.dashboard, 'http') then a.dashboard
    else 'https://grafana.%s.%s/d/%s' % [document.project, document.domain, a.dashboard];

  local labels(group, a) =
    { cluster: group.cluster, severity: a.severity }
    + present(a, ['repo', 'page_project', 'fyi_project'])
    + std.get(a, 'labels', {});

  local annotations(a) =
    { summary: a.summary, runbook: a.runbook }
    + present(a, ['description'])
    + (if std.get(a, 'dashboard') == null then {} else { dashboard: dashboard(a) });

  // The rule, and its twin for the time when the metric itself is absent.
  local alert(group, a) =
    [
      {
        alert: a.alert,
        expr: without(
          trimmed(a.expr),
          quiet[std.get(a, 'maintenance', 'none')] + (if std.get(a, 'lame_duck', false) then [lameDuck] else [])
        ),
      }
      + present(a, ['for', 'keep_firing_for'])
      + { labels: labels(group, a), annotations: annotations(a) },
    ] + (
      if std.get(a, 'missing') == null then []
      else [{
        alert: a.alert + '_MetricsMissing',
        expr: 'absent(%s)' % a.missing.metric,
        'for': a.missing['for'],
        labels: labels(group, a),
        annotations: {
          summary: 'There is no %s: %s cannot fire.' % [a.missing.metric, a.alert],
          runbook: 'Look at what exports it, and at the scrape job that should bring it.',
        },
      }]
    );

  {
    [group.name]: {
      groups: [
        {
          name: group.name,
          rules: [
            { record: r.record, expr: trimmed(r.expr) } + present(r, ['labels'])
            for r in std.get(group, 'records', [])
          ] + std.flattenArrays([alert(group, a) for a in std.get(group, 'alerts', [])]),
        },
      ],
    }
    for group in document.groups
  }
