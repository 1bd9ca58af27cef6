#!/bin/busybox sh
# Runs twice as process 1 of the virtual machine. First in the initramfs: mounts this machine's
# root, which is read-only, under a layer in memory, and goes there. Then there: runs /command.
# What is printed here goes to the kernel's console; the command's output to its own channel.
PATH=/bin:/sbin:/usr/bin:/usr/sbin

if [ -e /command ]; then
  /bin/busybox mount -t proc proc /proc
  /bin/busybox --install -s /bin
  mount -t sysfs sys /sys
  mount -t devtmpfs dev /dev
  for each in virtio_pci virtio_console virtio_blk virtiofs overlay; do modprobe "$each"; done
  mount -t virtiofs -o ro host /host || exit
  mount -t tmpfs -o mode=755 own /own
  mkdir /own/changed /own/work
  mount -t overlay -o lowerdir=/host,upperdir=/own/changed,workdir=/own/work root /new || exit
  for each in proc sys dev; do mount -o move "/$each" "/new/$each"; done
  mount -t tmpfs -o mode=755 run /new/run
  mkdir /new/run/vm /new/run/lock
  cp /bin/busybox /command /init /new/run/vm
  ln -s busybox /new/run/vm/modprobe
  mkdir -p /new/lib/modules
  rm -rf "/new/lib/modules/$(uname -r)"
  ln -s "$(cat /modules)" "/new/lib/modules/$(uname -r)"
  exec switch_root /new /run/vm/busybox sh /run/vm/init
fi

alias mount='/run/vm/busybox mount' ip='/run/vm/busybox ip'
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
echo /run/vm/modprobe > /proc/sys/kernel/modprobe
# Loaded now, so that no session is the first to need them: that takes seconds here.
for each in tun veth bridge sch_netem wireguard \
  nf_conntrack_netlink nft_ct nft_nat nft_masq nft_chain_nat nft_limit nft_log nft_reject_inet; do
  /run/vm/modprobe "$each"
done
ip link set lo up
echo "vm: up after $(cut -d' ' -f1 /proc/uptime) s, Linux $(uname -r)" > /dev/vport0p1
sh /run/vm/command < /dev/null > /dev/vport0p1 2>&1
echo $? > /dev/vport0p2
/run/vm/busybox poweroff -f
