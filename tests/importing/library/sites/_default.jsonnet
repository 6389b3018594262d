// A physical site before it says anything of itself.
local machine(project) = { disk: 'sda', iface: 'eth0', model: 'r640', project: project };

(import 'lib/site.jsonnet') {
  name: error 'name is not set',
  annotations: { donated: false, probability: 1.0, provider: 'mlab', type: 'physical' },
  lifecycle: { created: error 'lifecycle.created is not set', retired: null },
  loadbalancer: { roundrobin: true },
  location: { [field]: error 'location is not set' for field in ['city', 'continent_code', 'country_code', 'latitude', 'longitude', 'metro', 'state'] },
  machines: {
    mlab1: machine('mlab-oti'),
    mlab2: machine('mlab-oti'),
    mlab3: machine('mlab-oti'),
    mlab4: machine('mlab-staging'),
  },
  network: {
    ipv4: { dns1: '8.8.8.8', dns2: '8.8.4.4', prefix: error 'network.ipv4.prefix is not set' },
    ipv6: { dns1: '2001:4860:4860::8888', dns2: '2001:4860:4860::8844', prefix: error 'network.ipv6.prefix is not set' },
  },
  switch: {
    auto_negotiation: 'yes',
    flow_control: 'no',
    make: 'juniper',
    model: 'qfx5100-48s',
    rstp: 'yes',
    uplink_port: { '1g': 'ge-0/0/47', '10g': 'xe-0/0/45', '40g': 'et-0/0/23' }[$.transit.uplink],
  },
  transit: { asn: error 'transit.asn is not set', provider: error 'transit.provider is not set', uplink: error 'transit.uplink is not set' },
}
