--- Tensors in files: tk.save and tk.load. The ending of the path selects the format.
--   .npy          one tensor, NumPy's
--   .npz          named tensors, NumPy's; read also when compressed; arrays of texts become lists
--   .safetensors  named tensors and strings about them (metadata); written with checksums of header
--                 and tensors, which reading verifies
-- Tensors are f32 or i32. Elements of type f64, i64, u8 and bool are converted; a value that does
-- not fit is an error.
local atomic_file = require 'tinykg.base.atomic_file'
local bytes = require 'tinykg.store.bytes'
local checksums = require 'tinykg.store.checksums'
local npy = require 'tinykg.store.npy'
local npz = require 'tinykg.store.npz'
local ranks = require 'tinykg.engine.ranks'
local runtime = require 'tinykg.engine.runtime'
local safetensors = require 'tinykg.store.safetensors'
local tensor = require 'tinykg.engine.tensor'
local utf8 = require 'tinykg.base.utf8'
local fail = runtime.fail

local store = {}

local formats = {
  npy = {one = true, read = function(source)
    local t = npy.read(source, 'array')
    if source.left > 0 then bytes.refuse('%.0f bytes after the array: damaged', source.left) end
    return t
  end, write = npy.write},
  npz = {texts = true, read = npz.read, write = npz.write},
  safetensors = {metadata = true, read = safetensors.read, write = safetensors.write},
}

local function format_of(call, path)
  if type(path) ~= 'string' then
    fail('%s: the path is a %s, expected a string', call, type(path))
  end
  local format = formats[(path:match('%.(%w+)$') or ''):lower()]
  if not format then
    fail('%s: %s: unknown format: the path must end in .npy, .npz or .safetensors', call, path)
  end
  return format
end

local LONGEST_NAME = 65000 -- bytes, the limit of .npz

--- Refuses a text that is not UTF-8: replacing its bad bytes could make two names equal.
local function check_utf8(path, what, text)
  if utf8.valid(text) == text then return end
  fail('save: %s: %s %s is not UTF-8', path, what, utf8.valid(text))
end

--- Checks and computes named tensors before a file is begun. Returns their names, sorted.
local function names_of(path, tensors)
  local order = {}
  for name, t in pairs(tensors) do
    if type(name) ~= 'string' then
      fail('save: %s: the name %s is a %s, expected a string', path, tostring(name), type(name))
    end
    check_utf8(path, 'the name', name)
    if #name > LONGEST_NAME then fail('save: %s: a name has %d bytes', path, #name) end
    if name == '__metadata__' then fail('save: %s: %s cannot be a name', path, name) end
    if not tensor.is(t) then
      fail('save: %s: %s is a %s, expected a tensor', path, name, type(t))
    end
    tensor.realize(t)
    order[#order + 1] = name
  end
  table.sort(order)
  return order
end

local function check_metadata(path, format, metadata)
  if metadata == nil then return end
  if not format.metadata then fail('save: %s: only .safetensors files keep metadata', path) end
  if type(metadata) ~= 'table' then
    fail('save: %s: metadata is a %s, expected a table', path, type(metadata))
  end
  for key, value in pairs(metadata) do
    if type(key) ~= 'string' then
      fail('save: %s: metadata: the key %s is not a string', path, tostring(key))
    end
    if checksums.is_reserved(key) then fail('save: %s: metadata: %s is made by save', path, key) end
    if type(value) ~= 'string' then
      fail('save: %s: metadata: %s is a %s, expected a string', path, key, type(value))
    end
    check_utf8(path, 'metadata: the key', key)
    check_utf8(path, 'metadata: the value of', key .. ' = ' .. value)
  end
end

--- Checks the arguments of save. Returns a function that writes them to a sink.
---@param texts? table<string, string[]> .npz only
local function writer(path, what, metadata, texts)
  local format = format_of('save', path)
  check_metadata(path, format, metadata)
  local one = tensor.is(what)
  if not one and type(what) ~= 'table' then
    fail('save: %s: got a %s, expected a tensor or a table of tensors', path, type(what))
  end
  if format.one and not one then
    fail('save: %s: an .npy file holds one tensor: save several as .npz or .safetensors', path)
  end
  if one and not format.one then
    fail('save: %s: expected tensors by name, such as {w = tensor}; .npy files hold one', path)
  end
  if one then
    tensor.realize(what)
    return function(sink) format.write(sink, what) end
  end
  local order = names_of(path, what)
  return function(sink) format.write(sink, order, what, format.texts and texts or metadata) end
end

--- As tk.save, but returns nil, message when the file cannot be written. Of several ranks the first
--- writes; all of them call it, since a tensor may be divided among them.
---@param o? {links: boolean, texts: table<string, string[]>} links: of atomic_file.write; texts: of
---  an .npz, lists of texts by name
---@return true|nil ok
---@return string? message "PATH: WHY"
function store.write(path, what, metadata, o)
  local write = writer(path, what, metadata, o and o.texts)
  if not ranks.is_first() then
    write(bytes.nowhere())
    return true
  end
  return bytes.guard(path, atomic_file.write, path, function(file) write(bytes.sink(file)) end, o)
end

--- As tk.load, but returns nil, message when the file cannot be read.
---@param place? fun(name: string, dtype: integer, shape: integer[]): Tensor? for .safetensors: the
---  tensor, of this type and shape, to read an entry into; nil: one of its own
---@return Tensor|table<string, Tensor>|nil
---@return table<string, string>|string|nil metadata, or the message "PATH: WHY"
---@return boolean? checked whether a .safetensors file has checksums; wrong ones are refused
function store.read(path, place)
  local format = format_of('load', path)
  return bytes.guard(path, bytes.reading, path, function(source)
    return format.read(source, place)
  end)
end

--- Saves a tensor (.npy) or tensors by name (.npz, .safetensors), as the ending says. An old file
--- is replaced when the new one is complete.
---
---   local path = os.tmpname()
---   tk.save(path .. '.npz', {w = tk.ones(2)})
---   print(tk.load(path .. '.npz').w:sum():item())      --> 2
---   os.remove(path)
---   os.remove(path .. '.npz')
---@param path string
---@param what Tensor|table<string, Tensor>
---@param metadata? table<string, string> .safetensors only
function store.save(path, what, metadata)
  local ok, message = store.write(path, what, metadata)
  if not ok then fail('%s', message) end
end

--- Loads the tensors of an .npy, .npz or .safetensors file.
---@param path string
---@return Tensor|table<string, Tensor> tensors one tensor for .npy, else tensors by name; an array
---  of texts is a list of strings
---@return table<string, string>? metadata of a .safetensors file
function store.load(path)
  local result, more = store.read(path)
  if result == nil then fail('%s', more) end
  if more == nil then return result end -- at the prompt, which shows each result
  return result, more
end

return store
