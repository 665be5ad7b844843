--- The emulated GPU (kernels/emu) in specs. `make test SPEC=...` builds it for the specs that name
--- this file; `make test-cpu` leaves it out.
local emulation = {}

--- Whether the emulated GPU is built and wanted.
function emulation.is_there()
  if os.getenv 'EMULATION' == 'no' then return false end
  local library = os.getenv 'TINYKG_LIB' or 'build/libtinykg.so'
  local file = io.open((library:gsub('[^/]+$', 'libtinykg_emu.so')))
  if file then file:close() end
  return file ~= nil
end

--- Changes to a device, to a new engine of it if it is the present one; false and why, where there
--- is no such device.
function emulation.open(device)
  if device == 'emu' and not emulation.is_there() then return false, 'no libtinykg_emu.so' end
  return pcall(require('tinykg.engine.runtime').open, device)
end

return emulation
