// A virtual site before it says anything of itself.
(import 'lib/site_virtual.jsonnet') {
  name: error 'name is not set',
  annotations: { donated: false, probability: 1.0, provider: 'mlab', type: 'virtual' },
  lifecycle: { created: error 'lifecycle.created is not set', retired: null },
  loadbalancer: { roundrobin: true },
  location: { [field]: error 'location is not set' for field in ['city', 'continent_code', 'country_code', 'latitude', 'longitude', 'metro', 'state'] },
  machines: {
    mlab1: {
      disk: 'pd-ssd',
      iface: 'ens4',
      model: 'n2-highcpu-4',
      network: { ipv4: { address: error 'the address is not set' }, ipv6: { address: null } },
      project: 'mlab-oti',
    },
  },
  transit: { asn: error 'transit.asn is not set', provider: error 'transit.provider is not set', tier: 'PREMIUM', uplink: error 'transit.uplink is not set' },
}
