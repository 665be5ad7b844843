--- Two machines imitated by network namespaces of this one, for specs of ranks: a cable between
--- them, which can be pulled, and Open MPI's launcher on the first.
local fixtures = require 'tests.support.fixtures'
local mpi = require 'tests.support.mpi'
local shell = require 'tests.support.shell'

local hosts = {}

local AGENT = [[#!/bin/sh
# What Open MPI takes for ssh: runs a command on a host.
host=$1; shift
case $host in 10.77.0.2) exec ip netns exec %s-2 sh -c "$*" ;; esac
exec sh -c "$*"
]]

local MAKE = [[for i in 1 2; do ip netns add NAME-$i || exit 1; done
ip link add v1 netns NAME-1 type veth peer name v2 netns NAME-2 || exit 1
for i in 1 2; do
  ip -n NAME-$i addr add 10.77.0.$i/24 dev v$i && ip -n NAME-$i link set v$i up &&
  ip -n NAME-$i link set lo up || exit 1
done]]

--- Makes the two. Only root can, on some machines not even root. ---@return string? name
function hosts.new()
  local open_mpi = mpi.launchers['Open MPI']
  if not open_mpi then return nil end
  local dir = fixtures.dir()
  hosts.name = 'tkg' .. dir:gsub('%W', ''):sub(-8)
  if shell.sh((MAKE:gsub('NAME', hosts.name))) ~= 0 then return hosts.remove() end
  hosts.agent = dir .. '/agent.sh'
  fixtures.write(hosts.agent, AGENT:format(hosts.name))
  shell.sh('chmod +x ' .. hosts.agent)
  return hosts.name
end

function hosts.remove()
  for i = 1, hosts.name and 2 or 0 do
    local one = ('%s-%d'):format(hosts.name, i)
    shell.sh(('kill -9 $(ip netns pids %s); ip netns del %s'):format(one, one))
  end
  hosts.name = nil
end

--- The command line of a shell for `./tinykg arguments` on a rank of each host.
function hosts.tinykg(arguments)
  local variables, command = mpi.launchers['Open MPI'].of(2):match('^(.*=1) (mpirun.*)$')
  return ('%s ip netns exec %s-1 %s --host 10.77.0.1,10.77.0.2 --mca plm_rsh_agent %s ' ..
          './tinykg %s'):format(variables, hosts.name, command, hosts.agent, arguments)
end

--- The command that pulls the cable.
function hosts.pull() return ('ip -n %s-2 link set v2 down'):format(hosts.name) end

return hosts
