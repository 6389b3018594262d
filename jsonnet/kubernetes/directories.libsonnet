// An init container that makes directories that several users write to: they and all in them belong to nobody, and
// whatever is made in them to nobody's group.
local container = import '../lib/container.libsonnet';
local require = import '../lib/require.libsonnet';

local NOBODY = '65534:65534';

// `volume` is mounted at `top`; `below` are names of directories in it.
function(params)
  local p = require('directories', params, ['name', 'image', 'volume', 'top', 'below']);
  local made = std.join(' ', [p.top] + [p.top + '/' + name for name in p.below]);
  container.new({
    name: p.name,
    image: p.image,
    command: ['/bin/sh', '-c', 'mkdir -p %s && chown -R %s %s && find %s -type d -exec chmod 2775 {} +' % [made, NOBODY, p.top, p.top]],
    mounts: [container.mount(p.volume, p.top, readOnly=false)],
    root: true,
    capabilities: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'],
  })
