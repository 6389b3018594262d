// On the host's network, metrics are served on loopback only; a proxy before each port asks the API server who may read.
local container = import '../lib/container.libsonnet';
local require = import '../lib/require.libsonnet';

local ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

{
  // `ports`: container name to the port of its metrics.
  containers(params)::
    local p = require('proxies', params, ['ports', 'images']);
    local images = require('proxies', p.images, ['kube-rbac-proxy']);
    [
      container.new({
        name: 'kube-rbac-proxy-' + name,
        image: images['kube-rbac-proxy'],
        args: [
          '--secure-listen-address=$(NODE_IP):%d' % p.ports[name],
          '--upstream=http://127.0.0.1:%d/' % p.ports[name],
        ],
        env: { NODE_IP: container.fromField('status.hostIP') },
        mounts: [container.mount('api-access', ACCOUNT)],
        // The port's name is its container's, since names of ports have 15 characters at most.
        ports: [{ name: 'm%d' % p.ports[name], port: p.ports[name] }],
      })
      for name in std.objectFields(p.ports)
    ],

  // A token for the API server that lives an hour, only for the containers that mount it.
  access:: {
    name: 'api-access',
    projected: {
      defaultMode: 292,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  },

  role:: 'mlab-metrics-proxy',
}
