// Names of hosts, the same for physical and virtual sites.
{
  record(head, machine, site):: std.join('-', (if head == '' then [] else [std.strReplace(head, '.', '-')]) + [machine, site]),
  host(record, project):: '%s.%s.measurement-lab.example' % [record, project],
}
