// One container out of a description in the words of the configuration (`config/experiments/`).
local require = import 'require.libsonnet';

local fromField(path) = { fieldRef: { apiVersion: 'v1', fieldPath: path } };

local variable(name, value) =
  if std.isString(value) then { name: name, value: value }
  else { name: name, valueFrom: if 'secret' in value then { secretKeyRef: { name: value.secret, key: value.key } } else value };

local amounts(resources) =
  local kinds = ['cpu', 'memory'];
  local part(which) = {
    [kind]: resources[kind][which]
    for kind in kinds
    if kind in resources && which in resources[kind]
  };
  { [if part(which) != {} then which + 's']: part(which) for which in ['request', 'limit'] };

local command(params) =
  local words = std.get(params, 'command', []);
  local args = std.get(params, 'args', []);
  if std.get(params, 'shell', false) then {
    assert words != [] : 'component %s: parameter command is missing: a shell needs to know what to run' % params.name,
    command: ['/bin/sh', '-c', 'exec ' + std.join(' ', words + args)],
  } else {
    [if words != [] then 'command']: words,
    [if args != [] then 'args']: args,
  };

{
  // Everything is dropped, and given back by name; not root unless asked for. `hardened` is for programs of which it is
  // known that they write to their volumes alone and start nobody with more rights.
  security(params)::
    local capabilities = std.set(std.get(params, 'capabilities', []));
    {
      [if std.get(params, 'root', false) then 'runAsUser']: 0,
      [if std.get(params, 'root', false) then 'runAsGroup']: 0,
    } + if std.get(params, 'privileged', false) then { privileged: true } else {
      capabilities: { drop: ['ALL'], [if capabilities != [] then 'add']: capabilities },
    } + if std.get(params, 'hardened', false) then { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false } else {},

  // `volume` is a name of the pod's; `readOnly` unless said otherwise.
  mount(volume, path, readOnly=true, subPath=''):: {
    name: volume,
    mountPath: path,
    [if readOnly then 'readOnly']: true,
    [if subPath != '' then 'subPath']: subPath,
  },

  fromField:: fromField,
  amounts:: amounts,

  new(params):
    local p = require('container', params, ['name', 'image']);
    local env = std.get(p, 'env', {});
    local ports = std.get(p, 'ports', []);
    local metrics = std.get(p, 'metricsPort', null);
    local declared =
      (if metrics == null then [] else [{ name: 'metrics', containerPort: metrics, protocol: 'TCP' }])
      + [{ name: port.name, containerPort: port.port, protocol: std.get(port, 'protocol', 'TCP') } for port in ports];
    local variables = [variable(name, env[name]) for name in std.objectFields(env)];
    local mounts = std.get(p, 'mounts', []);
    local resources = amounts(std.get(p, 'resources', {}));
    {
      name: p.name,
      image: p.image,
    } + command(p) + {
      [if variables != [] then 'env']: variables,
      [if declared != [] then 'ports']: declared,
      [if mounts != [] then 'volumeMounts']: mounts,
      [if resources != {} then 'resources']: resources,
      securityContext: $.security(p),
    },
}
