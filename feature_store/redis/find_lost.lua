-- Looks for users and items of whom something is missing; if there are any, nothing is answered until the next publish.
-- ARGV: token of the publish, 'users' or 'items'; then their ids.
-- Returns 0.
local _, refusal = has_done_step(ARGV[1], 0)
if refusal then return refusal end
local is_whole = ARGV[2] == 'users' and is_user_whole or is_item_whole
for at = 3, #ARGV do
  if not is_whole(ARGV[at]) then return break_off() end
end
return 0
