// The accounts and rights alone, for a cluster beside which the two programs run as processes.
//
// document: {prefix}
local tokens = import 'epoxy_tokens.libsonnet';

function(document) tokens.access(document.prefix)
