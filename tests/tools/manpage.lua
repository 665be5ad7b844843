--- Writes the manual page lua/tinykg.1: what is said here, and what each command's --help says.
--   ./tinykg tests/tools/manpage.lua [--check]      --check: only says whether it is up to date
local lfs = require 'lfs'

local PAGE = 'lua/tinykg.1'

local HEAD = [[
.\" Made by `make docs` from the commands' own --help. Write in tests/tools/manpage.lua.
.Dd $DATE
.Dt TINYKG 1
.Os
.Sh NAME
.Nm tinykg
.Nd train knowledge-graph recommenders in a fraction of the memory
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar options
.Nm
.Ar file.lua
.Op Ar arguments
.Nm
.Op Fl i
.Fl e Ar code
.Nm
.Op Fl i Ar file.lua
.Sh DESCRIPTION
.Nm
trains and evaluates recommenders on a graph.
What backward needs is made again, kept as one bit where only a sign is read,
or kept in 8, 4, 2 or 1 bits, so that a step takes a fraction of the memory of
an ordinary autodiff framework.
A model is a recipe: a Lua file that returns
.Li tk.recipe{...} .
A recipe that is not found where it is named is looked for among those that
came along:
.Pa recipes/kgcn.lua
works anywhere.
.Pp
Without a command it is a prompt, where Lua is typed and seen at once;
.Fl i
runs something first and then goes there.
.Pp
A data set is a folder in the format of KGAT, of KGCN, of RecBole (atomic
files), or of plain tables
.Pa interactions.csv
and
.Pa kg.csv ;
files may be compressed by
.Xr gzip 1
or
.Xr xz 1 .
.Sh COMMANDS
]]

local TAIL = [[
.Sh ENVIRONMENT
.Bl -tag -width TINYKG_DEVICE
.It Ev TINYKG_DEVICE
The device to begin with:
.Li auto ,
.Li cpu ,
.Li cuda
or
.Li cuda:N .
.It Ev TINYKG_LIB
The engine's library, in place of the one installed.
.It Ev TINYKG_CACHE
The folder where data sets that took long to load are kept for the next run, in place of
.Pa $XDG_CACHE_HOME/tinykg
or
.Pa ~/.cache/tinykg ;
.Li off
keeps none. The folder may be deleted at any time.
.It Ev TINYKG_MPI
The MPI library of ranks, in place of the one that fits the launcher.
.It Ev TINYKG_RANKS
.Li none
makes each process that a launcher starts one alone.
.It Ev TINYKG_ISA
.Li sse2 ,
.Li avx2
or
.Li avx512 :
vector code of that kind, or of what the processor has, if that is less.
.It Ev NO_COLOR
Unless empty, nothing is written in colour.
.It Ev LUAJIT
The program that runs Lua,
.Xr luajit 1
if unset.
.El
.Sh FILES
Each run leaves a folder,
.Pa runs/RECIPE-DATA-BITS-SEED-SETTINGS
unless another is named; where there is one already, -2, -3 and so on is added.
A named folder that holds another run is refused without
.Fl \-force ,
which moves what is there to
.Pa previous/ .
.Bl -tag -width last-1.safetensors
.It Pa config.json
every option, seed, version, device; counts and hashes of the data set
.It Pa names.tsv
users, items, entities and relations as the model numbers them
.It Pa split.bin
the part of each interaction
.It Pa log.jsonl
an object a line: epoch, step, loss, metrics, seconds, memory
.It Pa best.safetensors
parameters of the best epoch
.It Pa last.safetensors
all that
.Fl \-resume
goes on from
.It Pa last-1.safetensors
the same of the time before:
.Fl \-resume \-from Ar last-1
.It Pa recipe.lua
the recipe as it was
.It Pa summary.json
metrics, memory by kind, bytes kept for backward, times
.It Pa kept.json
what is kept for backward, value by value
.El
.Pp
The prompt keeps its history in
.Pa $XDG_STATE_HOME/tinykg/history
or
.Pa ~/.local/state/tinykg/history .
.Sh EXIT STATUS
0 when done, 1 when something failed, 2 for wrong usage, 130 when stopped by
Ctrl\-C and 143 by SIGTERM.
A failure is told in one line on standard error, which names the file and line,
the option or the tensor.
.Sh EXAMPLES
Make a data set to play with, train on it, with three seeds and two bits:
.Bd -literal -offset indent
tinykg data demo films
tinykg run recipes/kgcn.lua --data films --bits 2 --seed 0,1,2
.Ed
.Pp
The options of a recipe:
.Dl tinykg run recipes/kgcn.lua --help
.Pp
A line of Lua with the engine loaded:
.Dl tinykg -e 'print(tk.randn(3, 4))'
.Sh SEE ALSO
.Xr luajit 1
]]

-- ---- what the commands say ----

local function output(command)
  local pipe = io.popen(command)
  local text = pipe:read('*a')
  assert(pipe:close(), command .. ': failed')
  return text
end

--- Names of the commands that there are, in the order of `tinykg help`.
local function commands()
  local list = {}
  for line in output('./tinykg help'):gmatch('[^\n]+') do
    local name = line:match('^  tinykg (%l+)')
    local file = name and 'lua/tinykg/cli/commands/' .. name .. '.lua'
    if file and lfs.attributes(file) then list[#list + 1] = name end
  end
  return list
end

--- An entry of a list of options: its name and what follows; argparse sets short and long names
--- below each other, the first with a comma.
local function add_entry(list, line)
  local last = list[#list]
  local what, about = line:match('^   +(%-.-)  +(%S.*)$')
  if not what then what, about = line:match('^   (%S.-)  +(%S.*)$') end
  if not what then what, about = line:match('^   (%S+ <[%w_]+>) (%S.*)$') end
  if not what then what, about = line:match('^   (%S.*)$'), '' end
  if what and last and last[1]:find(',$') then
    last[1] = last[1] .. ' ' .. what
    last[2] = last[2] .. (about ~= '' and ' ' .. about or '')
  elseif what then
    list[#list + 1] = {what, about}
  elseif last then -- the rest of a text, or a text below its option
    last[2] = (last[2] .. ' ' .. line:match('^%s*(.*)')):match('^%s*(.*)')
  end
end

--- A --help in parts: {usage, text, example, options, arguments, commands}, the last three lists of
--- {what, text}.
local function parse(text)
  local help = {usage = {}, text = {}, options = {}, arguments = {}, commands = {}}
  local list = help.text
  for line in (text .. '\n'):gmatch('([^\n]*)\n') do
    local title, usage = line:match('^(%a+):$'), line:match('^Usage: (.*)')
    if usage then
      help.usage[1], list = usage, help.usage
    elseif line:match('^Example: ') then
      help.example = line:match('^Example: (.*)')
    elseif title and help[title:lower()] then
      list = help[title:lower()]
    elseif line == '' then
      if list == help.usage then list = help.text end
    elseif list == help.usage or list == help.text then
      list[#list + 1] = line:match('^%s*(.*)')
    else
      add_entry(list, line)
    end
  end
  return help
end

-- ---- as mdoc ----

--- Text that roff takes as it is: a line may not begin with a dot or a quote; a sentence begins
--- a line.
local function plain(text)
  return (text:gsub('\\', '\\e'):gsub('%-', '\\-'):gsub("^([.'])", '\\&%1')
    :gsub('%. (%u)', '.\n%1'))
end

local function listed(out, list)
  if #list == 0 then return end
  out[#out + 1] = '.Bl -tag -width Ds'
  for _, item in ipairs(list) do
    out[#out + 1] = '.It ' .. plain(item[1])
    if item[2] ~= '' then out[#out + 1] = plain(item[2]) end
  end
  out[#out + 1] = '.El'
end

--- One command, and those below it.
local function command_text(out, name)
  local help = parse(output('./tinykg ' .. name .. ' --help'))
  out[#out + 1] = '.Ss ' .. name
  out[#out + 1] = '.Bd -literal'
  for _, line in ipairs(help.usage) do out[#out + 1] = plain(line) end
  out[#out + 1] = '.Ed\n.Pp'
  for _, line in ipairs(help.text) do out[#out + 1] = plain(line) end
  listed(out, help.arguments)
  local options = {}
  for _, o in ipairs(help.options) do
    if not o[1]:find('^%-h') then options[#options + 1] = o end
  end
  listed(out, options)
  if help.example and #help.commands == 0 then
    out[#out + 1] = '.Pp\nExample:\n.Dl ' .. plain(help.example)
  end
  for _, c in ipairs(help.commands) do command_text(out, name .. ' ' .. c[1]) end
end

local function page(date)
  local out = {(HEAD:gsub('%$DATE', date):gsub('\n$', ''))}
  for _, name in ipairs(commands()) do
    if name ~= 'help' then command_text(out, name) end
  end
  out[#out + 1] = TAIL
  return table.concat(out, '\n')
end

local file = io.open(PAGE)
local old = file and file:read('*a') or ''
if file then file:close() end
local date = old:match('\n%.Dd (%u%l+ %d+, %d+)\n')
if arg[1] == '--check' then
  if not date or page(date) ~= old then error(PAGE .. ' is not what --help says: make docs', 0) end
elseif not date or page(date) ~= old then -- the date of what it says
  local today = os.date('*t')
  local months = {'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August',
                  'September', 'October', 'November', 'December'}
  local text = page(('%s %d, %d'):format(months[today.month], today.day, today.year))
  assert(require('tinykg.base.atomic_file').write(PAGE, text))
end
