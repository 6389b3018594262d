// What follows from the addresses of a virtual site's machines.
local names = import 'lib/names.libsonnet';

local bare(address) = if address == null then '' else std.split(address, '/')[0];

{
  local site = self,
  local places(name) = {
    v4: { ip: bare(site.machines[name].network.ipv4.address) },
    v6: { ip: bare(site.machines[name].network.ipv6.address) },
  },
  Machine(name):: places(name) {
    index: std.parseInt(name[4]),
    project: site.machines[name].project,
    Hostname():: names.host(names.record('', name, site.name), self.project),
  },
  Experiment(name, experiment):: if experiment.cloud_enabled then experiment + places(name) {
    hostname: names.host(names.record(experiment.name, name, site.name), site.machines[name].project),
  },
}
