-- The page that says where things are names files and functions that exist.
local lfs = require 'lfs'
local fixtures = require 'tests.support.fixtures'

local PAGE = 'engine/ARCHITECTURE.md'
local rows = fixtures.bytes(PAGE):match '## 9%. Where do I find.-\n(|.*|)\n'

--- Names in backquotes of a row, in order: {text, is_file}.
local function names_of(row)
  local list = {}
  for text in row:gmatch '`([^`]+)`' do
    list[#list + 1] = {text = text, is_file = text:find '/' ~= nil}
  end
  return list
end

describe(PAGE .. ', section 9', function()
  it('names files that exist', function()
    local count = 0
    for name in rows:gmatch '`([%w_%-]+/[%w_/%-%.]+)`' do
      assert.is_truthy(lfs.attributes(name), name)
      count = count + 1
    end
    assert.is_true(count > 40)
  end)

  it('names functions that are in the file named next', function()
    local count = 0
    for row in rows:gmatch '[^\n]+' do
      local names = names_of(row)
      for i, name in ipairs(names) do
        local word = not name.is_file and name.text:match '^[%w_%.:]-([%w_]+)$'
        for k = i + 1, #names do
          if word and names[k].is_file and names[k].text:find '%.%w+$' then
            if row:find('`' .. name.text .. '`[^|]- in `' .. names[k].text:gsub('%p', '%%%0')) then
              assert.is_truthy(fixtures.bytes(names[k].text):find('%f[%w_]' .. word .. '%f[^%w_]'),
                               name.text .. ' in ' .. names[k].text)
              count = count + 1
            end
            break
          end
        end
      end
    end
    assert.is_true(count > 15)
  end)
end)
