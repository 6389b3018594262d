// Rule files out of alert groups: {<group>: {groups: [...]}}.
//
// document: {project, domain, groups: [the groups of config/alerts, as they are there]}

// Machines and sites in maintenance are quiet; the exporter keeps the series at 0 after they leave it.
local excluded = {
  none(expression):: expression,
  machine(expression):: '(\n%s\n)\nunless on (machine) (gmx_machine_maintenance == 1)' % expression,
  site(expression):: '(\n%s\n)\nunless on (site) (gmx_site_maintenance == 1)' % expression,
};

local present(object, keys) = { [key]: object[key] for key in keys if std.get(object, key) != null };

function(document)
  local alert(group, a) =
    {
      alert: a.alert,
      expr: excluded[std.get(a, 'maintenance', 'none')](std.rstripChars(a.expr, '\n ')),
    }
    + present(a, ['for', 'keep_firing_for'])
    + {
      labels: { cluster: group.cluster, severity: a.severity } + present(a, ['repo', 'page_project', 'fyi_project']),
      annotations: { summary: a.summary, description: a.runbook } + (
        if std.get(a, 'dashboard') == null then {} else {
          dashboard: 'https://grafana.%s.%s/d/%s' % [document.project, document.domain, a.dashboard],
        }
      ),
    };
  {
    [group.name]: {
      groups: [{
        name: group.name,
        rules: [
          { record: r.record, expr: std.rstripChars(r.expr, '\n ') } + present(r, ['labels'])
          for r in std.get(group, 'records', [])
        ] + [alert(group, a) for a in group.alerts],
      }],
    }
    for group in document.groups
  }
