-- Products of matrices: values around the places where they are cut, the same bits for any number
-- of threads, and which library makes them.
local tk = require 'tinykg'
local blas = require 'tinykg.bench.blas'
local fixtures = require 'tests.support.fixtures'
local reference = require 'tests.support.reference_ops'
local shell = require 'tests.support.shell'
local tensors = require 'tests.support.tensors'

local flat = tensors.flat
local noise = tensors.drawn_from(reference.random(7)).noise

--- An element of a product by its definition, and the sum of its terms' sizes.
local function element(a, b, o, i, j)
  local sum, size = 0, 0
  for l = 1, o.k do
    local term = a[o.ta and (l - 1) * o.m + i or (i - 1) * o.k + l] *
      b[o.tb and (j - 1) * o.k + l or (l - 1) * o.n + j]
    sum, size = sum + term, size + math.abs(term)
  end
  return sum, size
end

--- Compares the last row and column, where a cut product would go wrong, and some more.
local function check(o)
  local a = o.ta and noise(o.k, o.m) or noise(o.m, o.k)
  local b = o.tb and noise(o.n, o.k) or noise(o.k, o.n)
  local x, y = flat(a), flat(b)
  local got = flat(a:matmul(b, {transpose_a = o.ta, transpose_b = o.tb}))
  local what = ('[%d, %d] [%d, %d] %s %s'):format(o.m, o.k, o.k, o.n, o.ta and 'A^T' or '',
                                                  o.tb and 'B^T' or '')
  assert.equal(o.m * o.n, #got, what)
  local function compare(i, j)
    local sum, size = element(x, y, o, i, j)
    local value = got[(i - 1) * o.n + j]
    assert.is_true(math.abs(value - sum) <= 1e-6 * size + 1e-30,
                   ('%s: element %d, %d is %g, not %g'):format(what, i, j, value, sum))
  end
  for i = 1, o.m, math.max(1, math.floor(o.m / 40)) do
    compare(i, o.n)
    compare(i, 1 + i * 7 % o.n)
  end
  for j = 1, o.n do
    compare(o.m, j)
    compare(1 + j * 5 % o.m, j)
  end
end

describe('a product of matrices', function()
  teardown(fixtures.clean)

  it('is right on both sides of every cut', function()
    local rows = {1, 3, 255, 256, 257, 511, 700}
    local columns = {1, 5, 16, 31, 63, 64, 65, 80, 127, 128, 129, 324}
    for at, n in ipairs(columns) do
      for more, m in ipairs(rows) do
        local k = columns[(at * 3 + more) % #columns + 1]
        check{m = m, n = n, k = k}
        check{m = m, n = n, k = k, tb = true}
        check{m = k, n = n, k = m, ta = true}
      end
    end
    check{m = 20, n = 30, k = 40, ta = true, tb = true}
  end)

  it('sums what is not finite', function()
    local a, b = tk.zeros(300, 20) / 0, tk.ones(20, 70)
    for _, v in ipairs(flat(a:matmul(b))) do assert.is_true(v ~= v) end
  end)

  it('has the same bits for any number of threads', function()
    local x, y, w = noise(5000, 64):keep(), noise(5000, 48):keep(), noise(64, 48):keep()
    local function bits(threads)
      tk.threads(threads)
      local out = {}
      for k, product in ipairs{x:matmul(w), y:matmul(w, {transpose_b = true}),
                               x:matmul(y, {transpose_a = true})} do
        out[k] = tensors.bytes(product)
      end
      tk.threads(1)
      return out
    end
    local one = bits(1)
    for _, threads in ipairs{2, 3, 7} do
      for k, bytes in ipairs(bits(threads)) do assert.is_true(bytes == one[k], k) end
    end
  end)

  it('with a small matrix takes no buffer of the BLAS library, 128 MiB', function()
    if not blas.narrow() or os.getenv 'TINYKG_CHECK' then return pending('the BLAS makes it') end
    local code = [[
      local tk = require 'tinykg'
      local function most()
        return tonumber(io.open('/proc/self/status'):read('*a'):match('VmPeak:%s*(%d+)'))
      end
      tk.threads(1) -- the C library reserves as much for each thread
      local wide, tall = tk.ones(4, 324), tk.ones(500, 4)
      local before = most()
      wide:matmul(wide, {transpose_b = true}):sum():item()
      tall:matmul(wide):sum():item()
      print(most() - before < 65536)]]
    assert.equal('true\n', shell.gives(0, ("./tinykg -e '%s'"):format(code:gsub("'", '"'))))
  end)

  it('needs no memory that may be executed', function()
    local path = fixtures.dir() .. '/product.lua'
    fixtures.write(path, [[
      local ffi = require 'ffi'
      ffi.cdef 'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long);'
      if ffi.C.prctl(65, 1, 0, 0, 0) ~= 0 then print('none') return end -- PR_SET_MDWE
      local tk, blas = require 'tinykg', require 'tinykg.bench.blas'
      print(blas.narrow(), tk.ones(600, 64):matmul(tk.ones(64, 32)):sum():item())]])
    local text = shell.gives(0, 'luajit -joff ' .. path)
    if text == 'none\n' then return pending('this kernel cannot forbid it') end
    assert.equal(('nil\t%d\n'):format(600 * 64 * 32), text)
  end)

  it('says that there is no memory for a kernel, though malloc has some left', function()
    if not blas.narrow() then return pending('no libxsmm') end
    if os.getenv 'TINYKG_CHECK' then return pending('malloc is another one') end
    local path = fixtures.dir() .. '/x.lua'
    fixtures.write(path, [[
      local ffi, tk = require 'ffi', require 'tinykg'
      ffi.cdef 'typedef struct { unsigned long most, hard; } tests_limit;'
      ffi.cdef 'int setrlimit(int, const tests_limit *); int getrlimit(int, tests_limit *);'
      ffi.cdef 'void *malloc(size_t); void free(void *);'
      local C, SPACE, limit = ffi.C, 9, ffi.new 'tests_limit'
      local function product(n) return tk.ones(24, 40):matmul(tk.ones(40, n)):sum():item() end
      local function limited(most)
        limit.most = most
        C.setrlimit(SPACE, limit)
      end
      tk.threads(1)
      product(40)
      collectgarbage 'stop'
      local blocks = {}
      for i = 1, 400 do blocks[i] = C.malloc(100000) end
      for i = 1, 399 do C.free(blocks[i]) end
      C.getrlimit(SPACE, limit)
      limited(1)
      local ok, e = pcall(product, 56)
      limited(limit.hard)
      print(ok, e, product(56))]])
    shell.gives(0, './tinykg ' .. path,
                '^false\t[^\n]*no memory for the kernel of a matrix product\t53760\n$')
  end)
end)

describe('the choice of kernels', function()
  it('names a processor where OpenBLAS chose a lesser one', function()
    for _, case in ipairs{
      {'Prescott', 'avx512', 'SkylakeX'}, {'Haswell', 'avx512', 'SkylakeX'},
      {'Zen', 'avx512', 'SkylakeX'}, {'Prescott', 'avx2', 'Haswell'},
      {'Sandybridge', 'avx2', 'Haswell'}, {'Opteron', 'avx2', 'Haswell'},
      {'SkylakeX', 'avx512'}, {'Cooperlake', 'avx512'}, {'Haswell', 'avx2'}, {'Zen', 'avx2'},
      {'SkylakeX', 'avx2'}, {'Prescott', 'sse2'}, {'a later one', 'avx512'}, {nil, 'avx512'},
      {'NEOVERSEN1', 'neon'},
    } do
      assert.equal(case[3], blas.better_core(case[1], case[2]), case[1])
    end
  end)

  it('is told, and warned of, by the doctor', function()
    if not blas.core() or blas.vector_code() == 'neon' then return pending('no OpenBLAS') end
    local out = shell.prints('doctor', 'OPENBLAS_CORETYPE=Prescott')
    assert.matches('products +[^\n]*OpenBLAS, Prescott\n', out)
    local best = blas.better_core('Prescott', blas.vector_code())
    assert.equal(best, out:match('WARNING [^\n]*OPENBLAS_CORETYPE=(%w+)\n'))
    if not best then return end
    out = shell.prints('doctor', 'OPENBLAS_CORETYPE=' .. best)
    assert.matches('OpenBLAS, ' .. best .. '\n', out)
    assert.is_nil(out:find('WARNING'))
  end)

  --- What a program sees, with its arguments, where OpenBLAS is said to have chosen a lesser one.
  local function seen(environment)
    local path = fixtures.dir() .. '/stub.lua'
    fixtures.write(path, [[package.preload['tinykg.bench.blas'] = function()
      local function x() return 'X' end
      return {core = x, vector_code = x, better_core = function() return 'Haswell' end}
    end]])
    return shell.gives(0, ('env -u OPENBLAS_CORETYPE %s luajit -e "dofile \'%s\'" ' ..
      [[lua/tinykg/cli/main.lua -e "print(os.getenv('OPENBLAS_CORETYPE'), ...)" a 'b  c' '']]
      ):format(environment, path))
  end

  it('is made by the program, which starts anew, unless the user made it', function()
    assert.equal('Haswell\ta\tb  c\t\n', seen(''))
    assert.equal('Nehalem\ta\tb  c\t\n', seen('OPENBLAS_CORETYPE=Nehalem'))
  end)

  it('leaves the reason why there is no engine to who needs it', function()
    for _, variable in ipairs{'-u OPENBLAS_CORETYPE', 'OPENBLAS_CORETYPE=Haswell'} do
      local environment = ('env %s TINYKG_LIB=/none.so'):format(variable)
      local code, _, err = shell.tinykg("-e 'print(1)'", environment)
      assert.equal(1, code)
      assert.matches('the engine could not be loaded %(run make%): /none.so', err)
      assert.matches('Usage', shell.prints('help', environment))
    end
  end)
end)
