// Names, and the index that each adds to its machine's address; two names of one index are one experiment.
local at(index, names, cloud=false) = [
  { name: name, index: index, ipv6_enabled: true, cloud_enabled: cloud }
  for name in names
];

at(1, ['msak'])
+ at(2, ['ndt', 'ndt.iupui'], cloud=true)
+ at(3, ['revtr'])
+ at(4, ['ark'])
+ at(5, ['wehe'])
+ at(6, ['pt'])
+ at(7, ['flooefi'])
+ at(8, ['demo8'])
+ at(9, ['demo9'])
+ at(10, ['neubot', 'neubot.mlab'])
+ at(11, ['demo11'])
+ at(12, ['demo12'])
