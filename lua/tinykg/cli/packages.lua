--- The Lua modules of others that tinykg needs, and Debian's packages of them.
local packages = {}

--- Module, package, what for.
packages.ALL = {
  {'argparse', 'lua-argparse', 'the command line'},
  {'cjson', 'lua-cjson', 'run folders'},
  {'lfs', 'lua-filesystem', 'data sets and run folders'},
  {'posix', 'lua-posix', 'files, processes, terminals'},
  {'readline', 'lua-readline', 'editing at the prompt'},
}

--- Which modules are found, by name, and Debian's packages of those that are not.
---@return table<string, boolean> found ---@return string[] missing
function packages.find()
  local found, missing = {}, {}
  for _, p in ipairs(packages.ALL) do
    found[p[1]] = pcall(require, p[1])
    if not found[p[1]] then missing[#missing + 1] = p[2] end
  end
  return found, missing
end

--- What to install, in place of Lua's message that it has not found a module of these packages;
--- nil for other messages.
---@param message string ---@return string?
function packages.explain(message)
  local module = message:match("module '(%w+)[%w_.]*' not found")
  for _, p in ipairs(packages.ALL) do
    if p[1] == module then
      local _, missing = packages.find()
      return ("the Lua module '%s' is missing (%s): make deps, or apt-get install %s"):format(
        module, p[3], table.concat(#missing > 0 and missing or {p[2]}, ' '))
    end
  end
end

return packages
