-- Calls each public function of the engine with NULL in the place of each pointer that it takes,
-- then of all of them. Prints `function(argument)` before a call and behind it what that returned,
-- and the message. A program of its own, as a call that checks nothing ends it.
-- Usage: tinykg tests/support/null_arguments.lua TABLE, a file of two columns of ids.
local ffi = require 'ffi'
local C = require 'tinykg.engine.lib'
local read_file = require 'tinykg.base.read_file'

local HEADERS = {'tinykg.h', 'data/string_table.h', 'data/table.h', 'data/csr.h', 'data/graph.h',
                 'data/metrics.h', 'base/checksum.h', 'base/sha256.h', 'base/file_stamp.h'}

-- Texts that are accepted for an argument, a function's own before those of its name.
local TEXTS = {
  device = 'cpu', how = 'none', option = 'lr', kind = 'adam', kinds = 'ii', rule = 'exact',
  what = 'free', ['tkg_engine_set_precision.name'] = 'float32', ['tkg_step_set.option'] = 'bits',
  ['tkg_collective_reduce.how'] = 'sum f32', ['tkg_collective_bytes.kind'] = 'barrier',
  ['tkg_collective_calls.kind'] = 'barrier', ['tkg_step_figure.name'] = 'plans',
  ['tkg_profile_figure.name'] = 'runs',
}

local objects, arrays = {}, {} -- one of each type, and an array of it

local function add(type_name, create)
  local out = ffi.new('tkg_' .. type_name .. ' *[2]')
  assert(create(out) == 0, ffi.string(C.tkg_error()))
  out[1] = out[0]
  objects[type_name], arrays[type_name] = out[0], out
end

local function create_objects()
  add('engine', function(out) return C.tkg_engine_create('cpu', out) end)
  local engine, shape = objects.engine, ffi.new('int64_t[2]', 2, 2)
  C.tkg_engine_set_threads(engine, 1)
  add('tensor', function(out) return C.tkg_tensor_create(engine, 0, 2, shape, 0, out) end)
  C.tkg_tensor_set_parameter(objects.tensor, 1)
  add('tape', function(out) return C.tkg_tape_create(engine, out) end)
  assert(C.tkg_tape_leaf(objects.tape, objects.tensor) == 0)
  add('step', function(out) return C.tkg_step_create(engine, out) end)
  add('optimizer', function(out) return C.tkg_optimizer_create(engine, 'adam', out) end)
  add('profile', function(out) return C.tkg_profile_begin(engine, out) end)
  C.tkg_profile_end(objects.profile)
  add('names', C.tkg_names_new)
  add('table', function(out) return C.tkg_table_read(out, arg[1], 'ii', 9, 0, nil) end)
end

local buffer = ffi.new('int64_t[1024]')
local pointers = ffi.new('void *[16]')
for i = 0, 15 do pointers[i] = buffer end

--- The argument's name, whether it is a pointer, and a value for it.
local function argument(text, name)
  local word = text:match('([%w_]+)%s*%[?[%w_]*%]?$')
  if not text:find('[*%[]') then return word, false, 1 end
  local type_name, stars = text:match('tkg_(%l+)%s*([*%s%l]+)')
  local object = type_name and objects[type_name] ~= nil
  if object and not stars:find('%*.*%*') then return word, true, objects[type_name] end
  if object then return word, true, ffi.cast('void *', arrays[type_name]) end
  if text:find('^const char %*') then
    return word, true, TEXTS[name .. '.' .. word] or TEXTS[word] or 'x'
  end
  local of_pointers = text:find('%*.*[%*%[]')
  return word, true, ffi.cast('void *', of_pointers and pointers or buffer)
end

local function returned(type_name, value)
  if type_name == 'void' then return 'nothing' end
  if type_name == 'const char *' and value ~= nil and value[0] == 0 then return 'no text' end
  if type_name:find('%*') then return value == nil and 'NULL' or 'a pointer' end
  return tostring(tonumber(value))
end

--- Calls a function with NULL for arguments first..last.
local function call(kind, name, values, count, label, is_null)
  local given = {}
  for i = 1, count do
    if is_null(i) then given[i] = nil else given[i] = values[i] end
  end
  for i = 0, 1023 do buffer[i] = name:find('collective') and 1 or 0 end -- bytes, or ids
  io.write(name, '(', label, ') ')
  io.flush()
  C.tkg_tape_dtype(objects.tape, 99) -- sets a message, so that an older one is not taken for this
  local value = C[name](unpack(given, 1, count))
  print(returned(kind, value) .. ': ' .. ffi.string(C.tkg_error()))
end

local function try(kind, name, list)
  local values, words, is_pointer, count = {}, {}, {}, 0
  for text in list:gsub('%s+', ' '):gmatch('[^,]+') do
    count = count + 1
    words[count], is_pointer[count], values[count] = argument(text:match('^%s*(.-)%s*$'), name)
  end
  for i = 1, count do
    if is_pointer[i] then
      call(kind, name, values, count, words[i], function(k) return k == i end)
    end
  end
  call(kind, name, values, count, 'all', function(k) return is_pointer[k] end)
end

create_objects()
local folder = os.getenv('TINYKG_HOME') .. '/engine/'
for _, header in ipairs(HEADERS) do
  local text = read_file(folder .. header):match('/%* ffi:begin %*/(.-)/%* ffi:end %*/')
  text = text:gsub('/%*.-%*/', ''):gsub('%b{}', '')
  for declaration in text:gmatch('[^;]+') do
    local kind, name, list = declaration:match('^%s*(.-)(tkg_[%w_]+)%((.*)%)%s*$')
    if kind and list:find('[*%[]') then try(kind:match('^(.-)%s*$'), name, list) end
  end
end
