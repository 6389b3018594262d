// The loop that holds this cluster, and what belongs to it elsewhere, to what git says: `mlab run` in a pod.
//
// It is deployed where the environment names the repository (`loop.repository`) and an image of it is pinned. What it
// may do is listed by kind: it can make every object that the reconciler makes, and read nothing else of the cluster.
local container = import '../lib/container.libsonnet';
local objects = import '../lib/objects.libsonnet';
local require = import '../lib/require.libsonnet';

local NAME = 'mlab-reconciler';
local NAMESPACE = 'kube-system';
local WRITES = ['get', 'list', 'create', 'patch', 'delete'];
local PORT = 8080;

function(params)
  local p = require('reconciler', params, ['images', 'loop']);
  local loop = require('reconciler', p.loop, ['env', 'repository', 'targets']);
  [
    objects.serviceAccount(NAME, NAMESPACE),
    objects.role(NAME, '', [
      objects.rule('', ['namespaces', 'serviceaccounts', 'configmaps'], WRITES),
      objects.rule('apps', ['daemonsets', 'deployments'], WRITES),
      objects.rule('apiextensions.k8s.io', ['customresourcedefinitions'], WRITES),
      objects.rule('k8s.cni.cncf.io', ['network-attachment-definitions'], WRITES),
      objects.rule('policy', ['poddisruptionbudgets'], WRITES),
      objects.rule('scheduling.k8s.io', ['priorityclasses'], WRITES),
      // It hands out rights that it does not hold itself: those of the node's programs.
      objects.rule('rbac.authorization.k8s.io', ['clusterroles', 'clusterrolebindings', 'roles', 'rolebindings'], WRITES + ['bind', 'escalate']),
      // The lock of the scope.
      objects.rule('coordination.k8s.io', ['leases'], ['get', 'create', 'update', 'delete']),
    ]),
    objects.binding(NAME, '', NAME, NAME, NAMESPACE),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: NAME, namespace: NAMESPACE, labels: { workload: NAME } },
      spec: {
        // One is enough: a lock in each target keeps two from writing at once, while one is being replaced.
        replicas: 1,
        selector: { matchLabels: { workload: NAME } },
        template: {
          metadata: { labels: { workload: NAME }, annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/scheme': 'http' } },
          spec: {
            serviceAccountName: NAME,
            automountServiceAccountToken: true,
            priorityClassName: 'mlab-system',
            // Writes in flight end; no other is started.
            terminationGracePeriodSeconds: 60,
            securityContext: { runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534 },
            containers: [
              container.new({
                name: NAME,
                image: p.images.reconciler,
                args: [
                  'run',
                  '--env=' + loop.env,
                  '--repository=' + loop.repository,
                  '--state=/state',
                  '--listen=0.0.0.0:%d' % PORT,
                  '--hook-secret=file:/run/secrets/mlab/hook',
                ] + ['--target=' + target for target in loop.targets],
                // Nothing else can be written to.
                env: { HOME: '/state', TMPDIR: '/state', XDG_CACHE_HOME: '/state/cache' },
                metricsPort: PORT,
                resources: { cpu: { request: '100m' }, memory: { request: '256Mi', limit: '3Gi' } },
                mounts: [
                  container.mount('state', '/state', readOnly=false),
                  container.mount('secrets', '/run/secrets/mlab'),
                ],
              }) + {
                livenessProbe: { httpGet: { path: '/healthz', port: PORT }, periodSeconds: 30, failureThreshold: 4 },
                readinessProbe: { httpGet: { path: '/readyz', port: PORT }, periodSeconds: 10 },
                securityContext+: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
              },
            ],
            volumes: [
              { name: 'state', emptyDir: { sizeLimit: '2Gi' } },
              { name: 'secrets', secret: { secretName: NAME, defaultMode: 288 } },
            ],
          },
        },
      },
    },
  ]
