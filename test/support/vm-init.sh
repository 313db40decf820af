# The first process of a virtual machine of a test: makes it a host of two, and leaves the rest to the agent.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /run/lock
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s "/proc/self/${link#*:}" "/dev/${link%:*}"; done
mount -t devpts devpts /dev/pts
for word in $(cat /proc/cmdline); do
  case $word in host=*) n=${word#host=} ;; esac
done
echo "h$n" >/proc/sys/kernel/hostname
echo "0123456789abcdef0123456789abcde$n" >/etc/machine-id
modprobe virtio_net
modprobe virtio_console
# Else there is no /dev/net/tun, which systemd makes of the list of modules on a whole host.
modprobe tun
ip link set lo up
ip address add "192.0.2.$n/24" dev eth0
ip address add "2001:db8::$n/64" dev eth0 nodad
ip link set eth0 up
# The port comes a moment after its driver.
until port=$(echo /dev/vport*p1) && [ -c "$port" ]; do busybox usleep 20000; done
# A shell as the first process takes notice of whatever ends.
/usr/bin/env PATH=/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root node /opt/vm-agent.mjs "$port"
busybox poweroff -f
