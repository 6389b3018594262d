// How a booting machine becomes a node: the extension server that makes its token, the approver of its certificate.
//
// Deployed where an image of it is pinned and the environment says where its API server is. The two are separate
// accounts: the server can create Secrets and read none, the approver can read them and sign. Neither can do both.
local container = import '../lib/container.libsonnet';
local objects = import '../lib/objects.libsonnet';
local require = import '../lib/require.libsonnet';

local NAMESPACE = 'kube-system';
local SIGNER = 'kubernetes.io/kube-apiserver-client-kubelet';
// The group of our tokens (services/epoxy/tokens/bootstrap.py). It may ask for certificates; the approver inside
// Kubernetes gets no permission for it, so that ours alone decides.
local GROUP = 'system:bootstrappers:epoxy';
local PORT = 8800;
local METRICS_PORT = 8801;
local CONTROL_PLANE = 'node-role.kubernetes.io/control-plane';

local forGroup(name, namespace, role) = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: if namespace == '' then 'ClusterRoleBinding' else 'RoleBinding',
  metadata: { name: name, [if namespace != '' then 'namespace']: namespace },
  roleRef: {
    apiGroup: 'rbac.authorization.k8s.io',
    kind: if namespace == '' then 'ClusterRole' else 'Role',
    name: role,
  },
  subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: GROUP }],
};

local named(rule, names) = rule { resourceNames: names };

local access(prefix) =
  local tokens = prefix + '-tokens';
  local approver = prefix + '-approver';
  [
    objects.serviceAccount(tokens, NAMESPACE),
    objects.role(tokens, NAMESPACE, [objects.rule('', ['secrets'], ['create'])]),
    objects.binding(tokens, NAMESPACE, tokens, tokens, NAMESPACE),
    objects.role(tokens, '', [objects.rule('', ['nodes'], ['delete'])]),
    objects.binding(tokens, '', tokens, tokens, NAMESPACE),

    objects.serviceAccount(approver, NAMESPACE),
    // A rule cannot say "whose name begins with bootstrap-token-".
    objects.role(approver, NAMESPACE, [objects.rule('', ['secrets'], ['get', 'list', 'patch', 'delete'])]),
    objects.binding(approver, NAMESPACE, approver, approver, NAMESPACE),
    objects.role(approver, '', [
      objects.rule('certificates.k8s.io', ['certificatesigningrequests'], ['get', 'list', 'watch']),
      objects.rule('certificates.k8s.io', ['certificatesigningrequests/approval'], ['update']),
      named(objects.rule('certificates.k8s.io', ['signers'], ['approve']), [SIGNER]),
    ]),
    objects.binding(approver, '', approver, approver, NAMESPACE),

    forGroup(prefix + ':bootstrap:create-requests', '', 'system:node-bootstrapper'),
    // What `kubeadm join` reads before it asks; in a cluster that kubeadm did not make, they bind nothing.
    forGroup(prefix + ':bootstrap:get-nodes', '', 'kubeadm:get-nodes'),
    forGroup(prefix + ':bootstrap:kubelet-config', NAMESPACE, 'kubeadm:kubelet-config'),
    forGroup(prefix + ':bootstrap:kubeadm-config', NAMESPACE, 'kubeadm:nodes-kubeadm-config'),
  ];

local deployment(name, params, program, health, volumes, mounts) = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: name, namespace: NAMESPACE, labels: { workload: name } },
  spec: {
    // Two at once do no harm, and a machine need not wait for the second.
    replicas: 2,
    selector: { matchLabels: { workload: name } },
    template: {
      metadata: { labels: { workload: name }, annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/scheme': 'http' } },
      spec: {
        serviceAccountName: name,
        automountServiceAccountToken: true,
        priorityClassName: 'mlab-system',
        // Beside the API server: ePoxy finds the extension server where the original's was.
        hostNetwork: true,
        nodeSelector: { [CONTROL_PLANE]: '' },
        tolerations: [{ key: CONTROL_PLANE, operator: 'Exists', effect: 'NoSchedule' }],
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [{
              labelSelector: { matchLabels: { workload: name } },
              topologyKey: 'kubernetes.io/hostname',
            }],
          },
        },
        securityContext: { runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534 },
        containers: [
          container.new({
            name: name,
            image: params.images['epoxy-tokens'],
            args: program,
            metricsPort: health.port,
            resources: { cpu: { request: '50m' }, memory: { request: '64Mi', limit: '256Mi' } },
            mounts: mounts,
          }) + {
            // The image holds every program of the boot service.
            command: ['epoxy-tokens'],
            readinessProbe: { httpGet: health, periodSeconds: 10 },
            livenessProbe: { httpGet: health, periodSeconds: 30, failureThreshold: 4 },
            securityContext+: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
          },
        ],
        [if volumes != [] then 'volumes']: volumes,
      },
    },
  },
};

{
  // Accounts and rights, for programs that run as `PREFIX-tokens` and `PREFIX-approver`.
  access:: access,

  manifests(params)::
    local p = require('epoxy-tokens', params, ['images', 'api_address']);
    access('epoxy') + [
      deployment(
        'epoxy-tokens',
        p,
        [
          'serve',
          '--listen=0.0.0.0:%d' % PORT,
          '--api-address=' + p.api_address,
          '--peers=0.0.0.0/0',
          '--caller-token-file=/run/secrets/mlab/caller-token',
        ],
        { path: '/', port: PORT },
        [{ name: 'secrets', secret: { secretName: 'epoxy-tokens', defaultMode: 288 } }],
        [container.mount('secrets', '/run/secrets/mlab')],
      ),
      deployment(
        'epoxy-approver',
        p,
        ['approve', '--listen=0.0.0.0:%d' % METRICS_PORT],
        { path: '/metrics', port: METRICS_PORT },
        [],
        [],
      ),
    ],
}
