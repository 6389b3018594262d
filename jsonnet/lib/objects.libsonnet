// Plain Kubernetes objects. An empty namespace means an object of the whole cluster.
local metadata(name, namespace) = { name: name, [if namespace != '' then 'namespace']: namespace };

{
  namespace(name):: {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: metadata(name, ''),
  },

  serviceAccount(name, namespace):: {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: metadata(name, namespace),
    automountServiceAccountToken: false,
  },

  configMap(name, namespace, data):: {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata(name, namespace),
    data: data,
  },

  role(name, namespace, rules):: {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: if namespace == '' then 'ClusterRole' else 'Role',
    metadata: metadata(name, namespace),
    rules: rules,
  },

  // Binds the role, or the cluster role, of that name to one service account.
  binding(name, namespace, role, account, accountNamespace):: {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: if namespace == '' then 'ClusterRoleBinding' else 'RoleBinding',
    metadata: metadata(name, namespace),
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: if namespace == '' then 'ClusterRole' else 'Role',
      name: role,
    },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace: accountNamespace }],
  },

  rule(group, resources, verbs):: { apiGroups: [group], resources: resources, verbs: verbs },

  priorityClass(name, value, description):: {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: metadata(name, ''),
    value: value,
    description: description,
  },

  // An attachment that pods name in their annotations; its configuration is text for the node's plug-ins.
  network(name, config):: {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: metadata(name, 'default'),
    spec: { config: std.manifestJsonEx(config, '  ') },
  },

  daemonSet(name, namespace, maxUnavailable, template):: {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metadata(name, namespace) { labels: { workload: name } },
    spec: {
      selector: { matchLabels: { workload: name } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: maxUnavailable } },
      template: template,
    },
  },
}
