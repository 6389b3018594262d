// Says which component lacks which parameter, instead of a missing field somewhere inside.
function(component, params, names)
  local missing = [name for name in names if !(name in params) || params[name] == null];
  assert missing == [] : 'component %s: parameter %s is missing' % [component, std.join(', ', missing)];
  params
