--- One array in NumPy's format, of numbers or texts: magic, version, length of the header, a Python
--- dict, the elements.
-- Source: "A simple file format for NumPy arrays" (numpy.lib.format), versions 1.0 to 3.0.
local bytes = require 'tinykg.store.bytes'
local elements = require 'tinykg.store.elements'
local npy_texts = require 'tinykg.store.npy_texts'
local refuse = bytes.refuse

local npy = {}

local MAGIC = '\147NUMPY'
local ALIGNMENT = 64 -- of the first element

local names = {['<f4'] = 'f32', ['<i4'] = 'i32', ['<f8'] = 'f64', ['<i8'] = 'i64', ['|u1'] = 'u8',
               ['|b1'] = 'bool'}
local descr = {f32 = '<f4', i32 = '<i4'}

--- The file up to the elements. ---@param shape integer[] ---@param dtype string
local function header(shape, dtype)
  local tuple = '(' .. table.concat(shape, ', ') .. (#shape == 1 and ',)' or ')')
  local dict = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }")
    :format(dtype, tuple)
  local before = #MAGIC + 4
  local pad = -(before + #dict + 1) % ALIGNMENT
  dict = dict .. (' '):rep(pad) .. '\n'
  return MAGIC .. '\1\0' .. bytes.pack(#dict, 2) .. dict
end

--- The file up to the elements of a tensor. ---@return string
function npy.header(t) return header(t:size(), descr[t:dtype()]) end

--- The file of a list of texts: up to its elements, these, and how many bytes they are.
---@param list string[] ---@return string, ffi.cdata*, integer
function npy.texts(list)
  local memory, size, dtype = npy_texts.elements(list)
  return header({#list}, dtype), memory, size
end

--- Length of the header: two bytes in version 1, four in 2 and 3.
local function header_length(source, what)
  local start = source:text(8)
  if start:sub(1, 6) ~= MAGIC then refuse('%s: bad magic: not a NumPy array', what) end
  local major = start:byte(7)
  if major < 1 or major > 3 then
    refuse('%s: version %d.%d of the format, known are 1.0, 2.0 and 3.0', what, start:byte(7, 8))
  end
  local size = major == 1 and 2 or 4
  return bytes.unpack(source:text(size), 1, size)
end

local function shape_of(tuple, what)
  local shape = {}
  for part in tuple:gmatch('[^,]+') do
    local size = part:match('^%s*(%d+)%s*$')
    if size then shape[#shape + 1] = tonumber(size)
    elseif part:find('%S') then refuse('%s: bad shape (%s) in the header', what, tuple) end
  end
  return shape
end

local function check_order(order, shape, what)
  if order == 'False' then return end
  local long = 0
  for d = 1, #shape do
    if shape[d] ~= 1 then long = long + 1 end
  end
  if long > 1 then
    refuse('%s: stored column by column (Fortran order): save numpy.ascontiguousarray of it', what)
  end
end

--- Reads an array.
---@param source table
---@param what string its name, for messages
---@return Tensor|string[] texts where the array has those
function npy.read(source, what)
  local length = header_length(source, what)
  if length > source.left then
    refuse('truncated: the header of %s has %.0f bytes, %.0f are left', what, length, source.left)
  end
  local dict = source:text(length)
  local kind = dict:match("'descr'%s*:%s*'([^']*)'")
  local order = dict:match("'fortran_order'%s*:%s*(%a+)")
  local tuple = dict:match("'shape'%s*:%s*%(([^)]*)%)")
  if not kind and dict:find("'descr'%s*:%s*%[") then kind = 'a record' end
  if not (kind and order and tuple) then refuse('%s: bad header: not a NumPy array', what) end
  local width = kind:match('^<U(%d+)$')
  if not names[kind] and not width then
    refuse("%s: dtype %s is not supported: convert it, x.astype('float32') or x.astype('int32')",
           what, kind)
  end
  local shape = shape_of(tuple, what)
  check_order(order, shape, what)
  if width then return npy_texts.read(source, tonumber(width), shape, what) end
  return elements.read(source, names[kind], shape, what)
end

--- Writes a tensor to a sink.
function npy.write(sink, t)
  sink:write(npy.header(t))
  elements.each_chunk(t, function(memory, n) sink:write(memory, n) end)
end

return npy
