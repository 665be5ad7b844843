--- The emulated GPU (kernels/emu) in specs. `make test SPEC=...` builds it for the specs that name
--- this file; `make test-cpu` leaves it out.
local emulation = {}

--- Whether the emulated GPU is built and wanted.
function emulation.is_there()
  if os.getenv 'EMULATION' == 'no' then return false end
  local library = os.getenv 'TINYKG_LIB' or 'build/libtinykg.so'
  local file = io.open((library:gsub('[^/]*$', 'libtinykg_emu.so')))
  if file then file:close() end
  return file ~= nil
end

--- Makes `device` the one of a test; false, and the test pending, where there is no such device.
function emulation.open(device)
  local ok, message = false, 'no libtinykg_emu.so'
  if device ~= 'emu' or emulation.is_there() then
    ok, message = pcall(require('tinykg').device, device)
  end
  if not ok then pending(tostring(message)) end
  return ok
end

return emulation
