// What follows from a physical site's prefix.
local names = import 'lib/names.libsonnet';

local network(prefix) = std.split(prefix, '/')[0];
local size(prefix) = std.parseInt(std.split(prefix, '/')[1]);
local octets(prefix) = [std.parseInt(octet) for octet in std.split(network(prefix), '.')];

{
  local site = self,
  local v4 = site.network.ipv4.prefix,
  local v6 = site.network.ipv6.prefix,
  local address4(offset) = '%d.%d.%d.%d' % (octets(v4)[0:3] + [octets(v4)[3] + offset]),
  local address6(offset) = if v6 == null then '' else network(v6) + (octets(v4)[3] + offset),
  local first(index) = if size(v4) == 26 then 13 * index - 4 else 3,
  local places(offset) = { v4: { ip: address4(offset) }, v6: { ip: address6(offset) } },

  assert std.member(['1g', '10g', '40g'], site.transit.uplink) : 'no such uplink: ' + site.transit.uplink,

  Machine(name):: places(first(std.parseInt(name[4]))) {
    index: std.parseInt(name[4]),
    project: site.machines[name].project,
    drac: { v4: { ip: address4((if size(v4) == 26 then 3 else 1) + std.parseInt(name[4])) } },
    Hostname():: names.host(names.record('', name, site.name), self.project),
  },
  Experiment(name, experiment):: experiment + places(first(std.parseInt(name[4])) + experiment.index) {
    hostname: names.host(names.record(experiment.name, name, site.name), site.machines[name].project),
  },
}
