# Runs in a virtual machine as the first process of a node's own system: Debian's ipvlan plug-in asks ours.
#
# Says on the console what each step gave, `@ STEP STATUS OUTPUT` a line, and switches the machine off.
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs run /run

step() {
  name=$1
  shift
  output=$("$@" 2> /run/stderr)
  echo "@ $name $? $(echo "$output" | tr '\n' ' ')"
  [ ! -s /run/stderr ] || sed "s/^/@ $name stderr /" /run/stderr
}

plug() {
  CNI_COMMAND=$1 CNI_CONTAINERID=test CNI_NETNS=/run/netns/pod CNI_IFNAME=net1 CNI_PATH=/opt/cni/bin "/opt/cni/bin/${2:-ipvlan}" < /run/config
}

# An address of IPv6 may be used once the kernel has found nobody else with it: tried until then.
reach() {
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    ip netns exec "$1" ping -n -q -c 1 -W 1 "$2" && return
  done
  return 1
}

ip link set lo up
ip netns add pod
ip netns add peer
ip link add eth0 type veth peer name peer0 netns peer
ip address add "$NODE4" dev eth0
ip link set eth0 up
for address in $GATEWAYS; do
  ip -n peer address add "$address" dev peer0 nodad
done
ip -n peer link set peer0 up

# What an interface that is there can do.
try() {
  step $1-addresses ip -n pod -json -details address show dev net1
  for gateway in $GATEWAYS; do
    step $1-out reach pod "${gateway%/*}"
  done
  for address in $ADDRESSES; do
    step $1-in reach peer "${address%/*}"
  done
}

for version in 0.3.1 1.0.0; do
  own='"cniVersion": "'$version'", "name": "public", "type": "ipvlan", "master": "eth0"'
  ipam='"ipam": {"type": "index2ip", "index": 2}'
  echo "{$own, $ipam}" > /run/config
  plug ADD > /run/result
  echo "@ $version-add $? $(tr '\n' ' ' < /run/result)"
  try $version
  if [ $version = 1.0.0 ]; then
    echo "{$own, $ipam, \"prevResult\": $(cat /run/result)}" > /run/config
    step $version-check plug CHECK
    echo "{$own, \"ipam\": {\"type\": \"index2ip\", \"index\": 3}, \"prevResult\": $(cat /run/result)}" > /run/config
    step $version-check-of-another plug CHECK
  fi
  echo "{$own, $ipam}" > /run/config
  step $version-del plug DEL
  step $version-del-again plug DEL
  step $version-left ip -n pod -json link show
done

# The chain of a pod's own network, as its manifest has it: settings and addresses, then the interface.
echo "$FIRST" > /run/config
plug ADD netctl > /run/result
echo "@ chain-settings $? $(tr '\n' ' ' < /run/result)"
echo "${SECOND%\}}, \"prevResult\": $(cat /run/result)}" > /run/config
plug ADD > /run/second
echo "@ chain-add $? $(tr '\n' ' ' < /run/second)"
step chain-advertised ip netns exec pod cat /proc/sys/net/ipv6/conf/net1/accept_ra
step chain-configured ip netns exec pod cat /proc/sys/net/ipv6/conf/net1/autoconf
try chain
echo "${SECOND%\}}, \"prevResult\": $(cat /run/second)}" > /run/config
step chain-del plug DEL
echo "$FIRST" > /run/config
step chain-del plug DEL netctl
step chain-left ip -n pod -json link show

echo "@ end 0"
echo b > /proc/sysrq-trigger
