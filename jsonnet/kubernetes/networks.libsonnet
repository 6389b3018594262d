// Networks that pods are attached to (multus). Which addresses index N has, the node's own plug-in derives.
local objects = import '../lib/objects.libsonnet';

local flannel(gateway) = {
  cniVersion: '0.3.1',
  name: 'flannel',
  plugins: [{ type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: gateway } }, { type: 'portmap', capabilities: { portMappings: true } }],
};

{
  indexName(index):: 'index2ip-index-%d-conf' % index,

  // The experiment's own address on `net1`; router advertisements must not add another one.
  forIndex(index):: objects.network($.indexName(index), {
    cniVersion: '0.3.1',
    name: 'ipvlan-index-%d' % index,
    plugins: [
      {
        type: 'netctl',
        ipam: { type: 'index2ip', index: index },
        sysctl: { 'net.ipv6.conf.default.accept_ra': '0', 'net.ipv6.conf.default.autoconf': '0' },
      },
      { type: 'ipvlan', master: 'eth0' },
    ],
  }),

  experimentDefault:: 'flannel-experiment-conf',

  // An experiment's default route is its public address; every other pod's is the cluster's.
  shared:: [objects.network('flannel-conf', flannel(true)), objects.network($.experimentDefault, flannel(false))],

  definition:: {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'network-attachment-definitions.k8s.cni.cncf.io' },
    spec: {
      group: 'k8s.cni.cncf.io',
      scope: 'Namespaced',
      names: {
        plural: 'network-attachment-definitions',
        singular: 'network-attachment-definition',
        kind: 'NetworkAttachmentDefinition',
        listKind: 'NetworkAttachmentDefinitionList',
        shortNames: ['net-attach-def'],
      },
      versions: [{
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            description: 'A network that multus attaches pods to; see the de-facto standard of the plumbing group.',
            type: 'object',
            properties: {
              apiVersion: { type: 'string' },
              kind: { type: 'string' },
              metadata: { type: 'object' },
              spec: {
                type: 'object',
                properties: { config: { type: 'string', description: 'A CNI configuration, as JSON text.' } },
              },
            },
          },
        },
      }],
    },
  },
}
