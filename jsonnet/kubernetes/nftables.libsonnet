// The packet filter inside an experiment's pod: what the configuration opens, and nothing else.
// The file replaces the whole rule set in one transaction, so a restart never leaves a gap.
local element(port) = if std.isNumber(port) then '%d' % port else port;
local open(protocol, ports) =
  if ports == [] then ''
  else '    %s dport { %s } accept\n' % [protocol, std.join(', ', std.map(element, ports))];

function(firewall) |||
  flush ruleset
  table inet filter {
    chain input {
      type filter hook input priority 0; policy drop;
      ct state established,related accept
      iifname "lo" accept
      meta l4proto { icmp, ipv6-icmp } accept
  %s%s  }
  }
||| % [open('tcp', firewall.tcp), open('udp', std.get(firewall, 'udp', []))]
