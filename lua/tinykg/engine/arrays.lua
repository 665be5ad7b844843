--- Arrays outside of Lua's heap, and the engine's work on them: parsed columns of text, names to
--- ids, sorted pairs. Ids are 0-based int32.

local ffi = require 'ffi'
local lib = require 'tinykg.engine.lib'
local libc = require('tinykg.base.posix').libc

local arrays = {}

local pointer_to = {
  int32_t = ffi.typeof('int32_t *'),
  float = ffi.typeof('float *'),
  double = ffi.typeof('double *'),
}
local width = { int32_t = 4, float = 4, double = 8 }
local names_out = ffi.typeof('tkg_names *[1]')
local table_out = ffi.typeof('tkg_table *[1]')
local names_list = ffi.typeof('tkg_names *[?]')
local id_out = ffi.typeof('int32_t[1]')
local int_out = ffi.typeof('int[1]')
local count_out = ffi.typeof('int64_t[1]')
local text_buffer = ffi.typeof('char[?]')
local LONGEST_LINE = 2 ^ 26 -- that arrays.line returns

local function message() return ffi.string(lib.tkg_error()) end

local function check(status)
  if status ~= 0 then error(message(), 0) end
end

local function array(kind, n)
  local block = libc.calloc(math.max(n, 1), width[kind])
  if block == nil then error(('out of memory for %d numbers'):format(n), 0) end
  return ffi.gc(ffi.cast(pointer_to[kind], block), libc.free)
end

--- n int32 numbers, all `value`, 0 by default; freed with the last reference to the array. Errors:
--- out of memory.
---@param n number ---@param value? integer
---@return ffi.cdata*
function arrays.ints(n, value)
  local ints = array('int32_t', n)
  for i = 0, value and n - 1 or -1 do ints[i] = value end
  return ints
end

--- Frees arrays of this module now; nothing may read them any more. Lua's collector does not see
--- how large they are, and would let them lie.
---@param ... ffi.cdata*?
function arrays.free(...)
  for k = 1, select('#', ...) do
    local block = select(k, ...)
    if block ~= nil then libc.free(ffi.gc(block, nil)) end
  end
end

--- The int32 numbers 0 .. n - 1. ---@param n number ---@return ffi.cdata*
function arrays.range(n)
  local ints = array('int32_t', n)
  for i = 0, n - 1 do ints[i] = i end
  return ints
end

--- n zeroed float32 numbers.
---@param n number
---@return ffi.cdata*
function arrays.floats(n) return array('float', n) end

--- n zeroed float64 numbers.
---@param n number
---@return ffi.cdata*
function arrays.doubles(n) return array('double', n) end

---------------------------------------------------------------------------------------------------

---@class tinykg.Dictionary
local Dictionary = {}
Dictionary.__index = Dictionary

--- An empty dictionary: names to ids by order of first appearance.
---@return tinykg.Dictionary
function arrays.dictionary()
  local out = names_out()
  check(lib.tkg_names_new(out))
  return setmetatable({ c = ffi.gc(out[0], lib.tkg_names_free) }, Dictionary)
end

local PARTS = lib.TKG_NAMES_PARTS
local part_list, part_bytes = ffi.typeof('void *[?]'), ffi.typeof('int64_t[?]')

--- The memory of the dictionary in parts, to be stored: a list of { pointer, bytes }.
---@return table[]
function Dictionary:parts()
  local parts, bytes, list = ffi.new('const void *[?]', PARTS), part_bytes(PARTS), {}
  lib.tkg_names_parts(self.c, parts, bytes)
  for k = 1, PARTS do list[k] = { parts[k - 1], tonumber(bytes[k - 1]) } end
  return list
end

--- A dictionary of `count` names of such parts, to which none can be added.
---@param list table[] { pointer, bytes } each; the dictionary keeps them
---@param count integer
---@return tinykg.Dictionary
function arrays.dictionary_of(list, count)
  local out, parts, bytes = names_out(), part_list(PARTS), part_bytes(PARTS)
  for k = 1, PARTS do parts[k - 1], bytes[k - 1] = list[k][1], list[k][2] end
  check(lib.tkg_names_of_parts(out, parts, bytes, count))
  return setmetatable({ c = ffi.gc(out[0], lib.tkg_names_free), kept = list }, Dictionary)
end

--- How many names there are.
function Dictionary:count() return lib.tkg_names_count(self.c) end

--- The name with this id, or nil.
---@param id number
function Dictionary:at(id)
  local text = lib.tkg_names_at(self.c, id)
  if text ~= nil then return ffi.string(text) end
end

--- The id of a name, or nil.
---@param name string
function Dictionary:find(name)
  local id = lib.tkg_names_find(self.c, name, #name)
  if id >= 0 then return id end
end

--- The id of a name. Adds a new one.
---@param name string|ffi.cdata* ---@param n? integer bytes, of a cdata
function Dictionary:add(name, n)
  local id = id_out()
  check(lib.tkg_names_add(self.c, name, n or #name, id))
  return id[0]
end

---------------------------------------------------------------------------------------------------

---@class tinykg.Columns
---@field n number rows
---@field path string the file read
local Columns = {}
Columns.__index = Columns

local watcher

--- Calls fn(path, share) from time to time while a file is read, share being the part of it that
--- was read; nil: no more.
---@param fn fun(path: string, share: number)?
function arrays.watch(fn) watcher = fn end

-- Reads the table that was opened.
local function read_all(status, out)
  if status ~= 0 then return nil, message() end
  local c, more = ffi.gc(out[0], lib.tkg_table_free), int_out()
  local path = ffi.string(lib.tkg_table_path(c))
  repeat
    if lib.tkg_table_more(c, more) ~= 0 then return nil, message() end
    if watcher then watcher(path, lib.tkg_table_share(c)) end
  until more[0] == 0
  return setmetatable({ c = c, n = lib.tkg_table_rows(c), path = path, taken = {} }, Columns)
end

-- A separator as the engine takes it: a byte, or the same byte twice.
local function separator_code(separator)
  return #separator == 2 and separator:byte() * 257 or separator:byte()
end

--- Reads a delimited file: see engine/data/table.h for the letters of `kinds` and the separators.
--- `names` maps a column (from 1) to the dictionary that takes its names.
---@param path string
---@param spec {kinds: string, separator: string?, skip: number?, names: table?}
---@return tinykg.Columns? columns
---@return string? message
function arrays.read(path, spec)
  local kinds, out = spec.kinds, table_out()
  local names = names_list(#kinds)
  for i, dictionary in pairs(spec.names or {}) do names[i - 1] = dictionary.c end
  local separator = separator_code(spec.separator or ' ')
  return read_all(lib.tkg_table_open(out, path, kinds, separator, spec.skip or 0, names), out)
end

--- Reads lines `row id id ...` into two columns.
---@param path string
---@return tinykg.Columns? columns
---@return string? message
function arrays.ragged(path)
  local out = table_out()
  return read_all(lib.tkg_table_open_ragged(out, path), out)
end

--- Line `number` of a file; false if the file is shorter. Errors: a line longer than 64 MiB.
---@param path string
---@param number number? from 1, the default
---@return string|false|nil line
---@return string? message
function arrays.line(path, number)
  local size, found = 1024, int_out()
  repeat
    size = 4 * size
    local buffer = text_buffer(size)
    if lib.tkg_file_line(path, number or 1, buffer, size, found) ~= 0 then return nil, message() end
    local line = found[0] == 1 and ffi.string(buffer)
    if not line or #line < size - 1 then return line end
  until size > LONGEST_LINE
  error(('%s:%d: the line is longer than %d bytes'):format(path, number or 1, LONGEST_LINE), 0)
end

local function copied(kind, from, n)
  local to = array(kind, n)
  if n > 0 then ffi.copy(to, from, n * width[kind]) end
  return to
end

-- The values of a column: out of the table at first, then copies of them.
local function values(self, kind, column)
  local known = self.taken[column]
  if known then return copied(kind, known, self.n) end
  local block = lib.tkg_table_take(self.c, column - 1)
  local taken = block ~= nil and ffi.gc(ffi.cast(pointer_to[kind], block), libc.free)
    or array(kind, self.n)
  self.taken[column] = taken
  return taken
end

--- The ids of a column (from 1), as an array that outlives the table.
---@param column number
---@return ffi.cdata*
function Columns:ids(column) return values(self, 'int32_t', column) end

--- Why a column of kind F or T was not read: a message; nil if it was.
---@param column number
---@return string?
function Columns:unread(column)
  local why = lib.tkg_table_unread(self.c, column - 1)
  if why ~= nil then return ffi.string(why) end
end

--- The numbers of a column, as float64 or with 'float' as float32; nil if it was not read.
---@param column number
---@param kind string?
---@return ffi.cdata*?
function Columns:numbers(column, kind)
  if self:unread(column) then return nil end
  local from = values(self, 'double', column)
  if kind ~= 'float' then return from end
  local to = arrays.floats(self.n)
  for i = 0, self.n - 1 do to[i] = from[i] end
  return to
end

--- 'file:line' of the first row with the largest id of a column.
---@param column number
---@param ids ffi.cdata* those of the column
function Columns:where_largest(column, ids)
  local largest = self:extent(column) - 1
  for row = 0, self.n - 1 do
    if ids[row] == largest then return self:where(row) end
  end
  return self.path
end

--- One more than the largest id of a column.
function Columns:extent(column) return lib.tkg_table_extent(self.c, column - 1) end

--- 'file:line' of a row (from 0).
function Columns:where(row) return ('%s:%d'):format(self.path, lib.tkg_table_line(self.c, row)) end

--- Forgets the values that were asked for, so that they live no longer than who asked. No column
--- may be asked for again; rows keep their lines.
function Columns:forget() self.taken = nil end

--- Frees the memory now.
function Columns:free()
  self:forget()
  lib.tkg_table_free(ffi.gc(self.c, nil))
  self.c = nil
end

---------------------------------------------------------------------------------------------------

---@class tinykg.Csr
---@field n number pairs
---@field rows number
---@field offsets ffi.cdata* int32[rows + 1]
---@field items ffi.cdata* int32[n], ascending inside a row
---@field order ffi.cdata* int32[n], the position that each pair had
local Csr = {}
Csr.__index = Csr

--- Pairs sorted by row and column.
---@param n number
---@param rows ffi.cdata*
---@param cols ffi.cdata*
---@param total number of rows
---@return tinykg.Csr
function arrays.csr(n, rows, cols, total)
  local offsets, items, order = arrays.ints(total + 1), arrays.ints(n), arrays.ints(n)
  check(lib.tkg_csr_build(n, rows, cols, total, offsets, items, order))
  return setmetatable({ n = n, rows = total, offsets = offsets, items = items, order = order }, Csr)
end

--- Frees the arrays now; nothing may read them any more.
function Csr:free()
  arrays.free(self.offsets, self.items, self.order)
  self.offsets, self.items, self.order = nil, nil, nil
end

--- Removes repeated pairs in place; the first in the order given stays.
---@return tinykg.Csr self
function Csr:unique()
  check(lib.tkg_csr_unique(self.rows, self.offsets, self.items, self.order))
  self.n = self.offsets[self.rows]
  return self
end

--- Whether row holds col.
---@param row number
---@param col number
---@return boolean
function Csr:contains(row, col)
  if row < 0 or row >= self.rows then return false end
  return lib.tkg_csr_contains(self.offsets, self.items, row, col) == 1
end

--- How many pairs a row has.
---@param row number
function Csr:count(row) return self.offsets[row + 1] - self.offsets[row] end

-- Adds the weights of repeated triples to the first of each, and closes the gaps that the others
-- leave when they are removed. Triples of one head and tail, which are few, lie together in a CSR.
local function sum_weights(n, heads, relations, tails, weights)
  local most = 0
  for i = 0, n - 1 do most = math.max(most, heads[i] + 1) end
  local csr, again = arrays.csr(n, heads, tails, most), arrays.ints(n)
  for h = 0, most - 1 do
    local first, stop = csr.offsets[h], csr.offsets[h + 1]
    for p = first, stop - 1 do
      local at, q = csr.order[p], p - 1
      while q >= first and csr.items[q] == csr.items[p] do
        local before = csr.order[q]
        if again[before] == 0 and relations[before] == relations[at] then
          weights[before], again[at] = weights[before] + weights[at], 1
        end
        q = q - 1
      end
    end
  end
  local kept = 0
  for i = 0, n - 1 do
    if again[i] == 0 then weights[kept], kept = weights[i], kept + 1 end
  end
  csr:free()
  arrays.free(again)
end

--- Removes repeated triples in place; the first of each stays, with the sum of their weights.
---@param n number ---@param heads ffi.cdata* ---@param relations ffi.cdata*
---@param tails ffi.cdata* ---@param weights? ffi.cdata* float
---@return number how many are left
function arrays.unique_triples(n, heads, relations, tails, weights)
  if weights then sum_weights(n, heads, relations, tails, weights) end
  local kept = count_out()
  check(lib.tkg_triples_unique(n, heads, relations, tails, kept))
  return tonumber(kept[0])
end

--- A random order of 0 .. n - 1: the same for the same seed, epoch and stream.
---@param n number
---@param seed number
---@param epoch number?
---@param stream number?
---@return ffi.cdata*
function arrays.permutation(n, seed, epoch, stream)
  local out = arrays.ints(n)
  check(lib.tkg_shuffle(out, n, seed, epoch or 0, stream or 0))
  return out
end

--- The rows of a CSR that have entries, or those that have none.
---@param offsets ffi.cdata* int32 [rows + 1] ---@param rows number ---@param empty? boolean
---@return ffi.cdata* ids int32, room for all rows ---@return number count
function arrays.filled_rows(offsets, rows, empty)
  local ids, n = arrays.ints(rows), 0
  for row = 0, rows - 1 do
    if (offsets[row + 1] == offsets[row]) == (empty or false) then
      ids[n] = row
      n = n + 1
    end
  end
  return ids, n
end

local bits_of = ffi.typeof('union { double number; struct { uint32_t low, high; } word; }')

-- The bits of a double as three 22-bit digits whose order is the order of the numbers.
local function digits(cell, number)
  cell.number = number + 0 -- -0 becomes 0
  local high, low = tonumber(cell.word.high), tonumber(cell.word.low)
  if high >= 2147483648 then
    high, low = 4294967295 - high, 4294967295 - low
  else
    high = high + 2147483648
  end
  local top = math.floor(high / 1024)
  local rest = (high - top * 1024) * 4096 + math.floor(low / 1048576)
  return top, rest, low % 1048576
end

--- Positions of numbers in ascending order; equal ones stay in order.
---@param n number
---@param numbers ffi.cdata* float64
---@return ffi.cdata* int32
function arrays.argsort(n, numbers)
  local cell, keys, order = bits_of(), {}, arrays.ints(n)
  for k = 1, 3 do keys[k] = arrays.ints(n) end
  for i = 0, n - 1 do
    keys[1][i], keys[2][i], keys[3][i] = digits(cell, numbers[i])
    order[i] = i
  end
  local row, key, sorted = arrays.ints(n), arrays.ints(n), arrays.ints(n)
  for k = 3, 1, -1 do
    for i = 0, n - 1 do key[i] = keys[k][order[i]] end
    local pass = arrays.csr(n, row, key, 1)
    for i = 0, n - 1 do sorted[i] = order[pass.order[i]] end
    order, sorted = sorted, order
  end
  return order
end

return arrays
