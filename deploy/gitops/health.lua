-- Health of a ConnectorInstance for Argo CD. It reads the conditions as kstatus does.
local health = { status = "Progressing", message = "Waiting for the operator" }
if obj.metadata ~= nil and obj.metadata.deletionTimestamp ~= nil then
  health.message = "Being deleted"
  return health
end
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  health.message = "Waiting for the operator to see the current generation"
  return health
end
local ready, stalled
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Stalled" and condition.status == "True" then
    stalled = condition
  end
end
if stalled ~= nil then
  health.status = "Degraded"
  health.message = stalled.message
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
  if obj.spec ~= nil and obj.spec.suspend == true then
    health.status = "Suspended"
  end
  health.message = ready.message
elseif ready ~= nil then
  health.message = ready.message
end
return health
