/*
 * A mesh device that is lwIP and nothing else: a tapif carries the UDP of ZEP, a zepif on
 * top of it is the mesh interface. IPv6, ND, SLAAC, DAD, MLD, ICMPv6, UDP, IPHC, fragments
 * and ZEP are those of the library.
 *
 * Debian builds lwIP with NETIF_MAX_HWADDR_LEN 6, with which zepif can only broadcast: the
 * first unicast frame runs into the assertion "invalid dst address length". What a build
 * for IEEE 802.15.4 has and this one lacks, link-layer addresses of 64 bits, is supplied
 * here: inside the library an address is a MAC-48, on the air it is the EUI-64 with ff:ff
 * in the middle, which is what lowpan6.c makes of the MAC-48 for its own source address.
 *
 * Usage: lwip-node KEY=VALUE ...
 *   tap=NAME  ip=10.0.6.2  mask=255.255.255.0                     the outer interface
 *   zep=ADDRESS       where frames are sent; without it 255.255.255.255
 *   mac=02:00:06:00:00:02                                         of the mesh interface
 *   iid=mac48|l2|raw  interface identifier: MAC-48 with ff:fe, EUI-64 flipped, EUI-64 as is
 *   pan=abcd          without it what the library has at start: 0000
 *   context=PREFIX    compression context 0
 *   mld=1             sets NETIF_FLAG_MLD6, so that solicited-node groups are heard
 *   lla=16|8          length of link-layer address options sent
 *
 * It answers ping (lwIP does) and echoes UDP to port 7. On standard input:
 *   udp ADDRESS PORT SIZE    sends a datagram and waits for the same one to come back
 * It prints "addr ADDRESS STATE" where an address changed, and "udp SIZE ok|bad|timeout".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lwip/opt.h"
#include "lwip/ethip6.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip6.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/prot/icmp6.h"
#include "lwip/prot/nd6.h"
#include "lwip/sys.h"
#include "lwip/tcpip.h"
#include "lwip/udp.h"
#include "netif/lowpan6.h"
#include "netif/tapif.h"
#include "netif/zepif.h"

static struct netif outer, mesh;
static int option_length = 16;

/* --- Link-layer addresses of 64 bits ------------------------------------------------- */

static void expand(u8_t eui[8], const u8_t mac[6])
{
  memcpy(eui, mac, 3);
  eui[3] = eui[4] = 0xff;
  memcpy(eui + 5, mac + 3, 3);
}

/* Where the options of an ND message begin, 0 where it is none. */
static u16_t options_of(u8_t type)
{
  switch (type) {
  case ICMP6_TYPE_RS: return 8;
  case ICMP6_TYPE_RA: return 16;
  case ICMP6_TYPE_NS:
  case ICMP6_TYPE_NA: return 24;
  }
  return 0;
}

/* Called by lwIP in place of its own: makes MAC-48s of EUI-64s before it does the rest. */
void nd6_input(struct pbuf *p, struct netif *inp)
{
  static void (*next)(struct pbuf *, struct netif *);
  u16_t at = options_of(pbuf_get_at(p, 0));
  if (next == NULL) {
    next = (void (*)(struct pbuf *, struct netif *))dlsym(RTLD_NEXT, "nd6_input");
  }
  while (inp == &mesh && at != 0 && at + 8 <= p->tot_len) {
    u8_t type = pbuf_get_at(p, at), length = pbuf_get_at(p, at + 1);
    if (length == 0) {
      break;
    }
    if ((type == ND6_OPTION_TYPE_SOURCE_LLADDR || type == ND6_OPTION_TYPE_TARGET_LLADDR) && length == 2) {
      int i;
      if (pbuf_get_at(p, at + 5) != 0xff || pbuf_get_at(p, at + 6) != 0xff) {
        fprintf(stderr, "a link-layer address without ff:ff in the middle cannot be kept\n");
        exit(1);
      }
      for (i = 5; i < 8; i++) {
        pbuf_put_at(p, at + i, pbuf_get_at(p, at + i + 2));
      }
    }
    at += 8 * length;
  }
  next(p, inp);
}

/* Called by lowpan6_output: the address that it then copies is one of 64 bits. */
err_t nd6_get_next_hop_addr_or_queue(struct netif *netif, struct pbuf *q, const ip6_addr_t *dst, const u8_t **hwaddr)
{
  static err_t (*next)(struct netif *, struct pbuf *, const ip6_addr_t *, const u8_t **);
  static u8_t eui[8];
  err_t err;
  if (next == NULL) {
    next = (err_t (*)(struct netif *, struct pbuf *, const ip6_addr_t *, const u8_t **))dlsym(RTLD_NEXT, "nd6_get_next_hop_addr_or_queue");
  }
  err = next(netif, q, dst, hwaddr);
  if (netif == &mesh && err == ERR_OK && *hwaddr != NULL) {
    expand(eui, *hwaddr);
    *hwaddr = eui;
    netif->hwaddr_len = 8; /* for the copy; mesh_output sets it right */
  }
  return err;
}

/* Sends what lwIP sends, with link-layer address options of 16 bytes. */
static err_t mesh_output(struct netif *netif, struct pbuf *q, const ip6_addr_t *dst)
{
  struct ip6_hdr *ip = (struct ip6_hdr *)q->payload;
  u16_t at = 0, icmp = IP6_HLEN;
  struct pbuf *own = NULL;
  err_t err;
  if (option_length == 16 && IP6H_NEXTH(ip) == IP6_NEXTH_ICMP6) {
    at = options_of(pbuf_get_at(q, icmp));
  }
  /* lwIP sends one option at most, and it is this one. */
  if (at != 0 && q->tot_len == icmp + at + 8) {
    u8_t b[IP6_HLEN + 24 + 16], eui[8];
    ip6_addr_t from, to;
    u16_t sum;
    pbuf_copy_partial(q, b, q->tot_len, 0);
    expand(eui, b + icmp + at + 2);
    b[icmp + at + 1] = 2;
    memcpy(b + icmp + at + 2, eui, 8);
    memset(b + icmp + at + 10, 0, 6);
    IP6H_PLEN_SET((struct ip6_hdr *)b, at + 16);
    memset(b + icmp + 2, 0, 2);
    own = pbuf_alloc(PBUF_LINK, icmp + at + 16, PBUF_RAM);
    if (own == NULL) {
      return ERR_MEM;
    }
    pbuf_take(own, b, icmp + at + 16);
    ip6_addr_copy_from_packed(from, ip->src);
    ip6_addr_copy_from_packed(to, ip->dest);
    ip6_addr_clear_zone(&from);
    ip6_addr_clear_zone(&to);
    pbuf_remove_header(own, IP6_HLEN);
    sum = ip6_chksum_pseudo(own, IP6_NEXTH_ICMP6, own->tot_len, &from, &to);
    pbuf_take_at(own, &sum, 2, 2);
    pbuf_add_header(own, IP6_HLEN);
    q = own;
  }
  err = lowpan6_output(netif, q, dst);
  netif->hwaddr_len = 6;
  if (own != NULL) {
    pbuf_free(own);
  }
  return err;
}

static err_t mesh_init(struct netif *netif)
{
  err_t err = zepif_init(netif);
  netif->output_ip6 = mesh_output;
  return err;
}

/* --- The node ------------------------------------------------------------------------ */

static const char *argument(int argc, char **argv, const char *key, const char *otherwise)
{
  size_t n = strlen(key);
  for (int i = 1; i < argc; i++) {
    if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=') {
      return argv[i] + n + 1;
    }
  }
  return otherwise;
}

static void echo(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *addr, u16_t port)
{
  (void)arg;
  udp_sendto(pcb, p, addr, port);
  pbuf_free(p);
}

static u8_t pattern(unsigned i, unsigned size) { return (u8_t)(i * 7 + size); }

static volatile int answer; /* 0: none yet, 1: right, -1: wrong */

static void answered(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *addr, u16_t port)
{
  unsigned size = *(unsigned *)arg;
  int good = p->tot_len == size;
  (void)pcb; (void)addr; (void)port;
  for (unsigned i = 0; good && i < size; i++) {
    good = pbuf_get_at(p, (u16_t)i) == pattern(i, size);
  }
  answer = good ? 1 : -1;
  pbuf_free(p);
}

static void exchange(const char *to, int port, unsigned size)
{
  ip_addr_t dst;
  struct udp_pcb *pcb;
  struct pbuf *p;
  err_t err;
  if (!ipaddr_aton(to, &dst)) {
    printf("udp %u bad: %s is no address\n", size, to);
    return;
  }
  answer = 0;
  LOCK_TCPIP_CORE();
  pcb = udp_new_ip_type(IPADDR_TYPE_V6);
  udp_recv(pcb, answered, &size);
  p = pbuf_alloc(PBUF_TRANSPORT, (u16_t)size, PBUF_RAM);
  for (unsigned i = 0; i < size; i++) {
    pbuf_put_at(p, (u16_t)i, pattern(i, size));
  }
  err = udp_sendto(pcb, p, &dst, (u16_t)port);
  pbuf_free(p);
  UNLOCK_TCPIP_CORE();
  for (int i = 0; i < 3000 && answer == 0 && err == ERR_OK; i++) {
    usleep(1000);
  }
  LOCK_TCPIP_CORE();
  udp_remove(pcb);
  UNLOCK_TCPIP_CORE();
  if (err != ERR_OK) {
    printf("udp %u bad: error %d\n", size, err);
  } else {
    printf("udp %u %s\n", size, answer == 0 ? "timeout" : answer > 0 ? "ok" : "bad");
  }
}

static void *watch(void *arg)
{
  static u8_t before[LWIP_IPV6_NUM_ADDRESSES];
  (void)arg;
  for (;;) {
    LOCK_TCPIP_CORE();
    for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
      u8_t now = netif_ip6_addr_state(&mesh, i);
      if (now != before[i]) {
        ip6_addr_t a = *netif_ip6_addr(&mesh, i);
        ip6_addr_clear_zone(&a);
        printf("addr %s %s\n", ip6addr_ntoa(&a), ip6_addr_istentative(now) ? "tentative" : ip6_addr_ispreferred(now) ? "preferred"
          : ip6_addr_isvalid(now) ? "deprecated" : ip6_addr_isduplicated(now) ? "duplicated" : "invalid");
        before[i] = now;
      }
    }
    UNLOCK_TCPIP_CORE();
    usleep(20000);
  }
  return NULL;
}

static void watch_thread(void *arg) { watch(arg); }

static void ready(void *arg) { sys_sem_signal((sys_sem_t *)arg); }

int main(int argc, char **argv)
{
  static struct zepif_init zep;
  static ip_addr_t to;
  ip4_addr_t ip, mask, gateway;
  const char *s;
  struct udp_pcb *pcb;
  sys_sem_t started;
  char line[256], addr[64];
  u8_t eui[8];

  setvbuf(stdout, NULL, _IOLBF, 0);
  sys_sem_new(&started, 0);
  tcpip_init(ready, &started);
  sys_sem_wait(&started);

  setenv("PRECONFIGURED_TAPIF", argument(argc, argv, "tap", "tap0"), 1);
  ip4addr_aton(argument(argc, argv, "ip", "10.0.6.2"), &ip);
  ip4addr_aton(argument(argc, argv, "mask", "255.255.255.0"), &mask);
  ip4_addr_set_zero(&gateway);
  s = argument(argc, argv, "mac", "02:00:06:00:00:02");
  sscanf(s, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &zep.addr[0], &zep.addr[1], &zep.addr[2], &zep.addr[3], &zep.addr[4], &zep.addr[5]);
  option_length = atoi(argument(argc, argv, "lla", "16"));

  LOCK_TCPIP_CORE();
  netif_add(&outer, &ip, &mask, &gateway, NULL, tapif_init, tcpip_input);
  outer.hwaddr[5] = zep.addr[5]; /* tapif gives all the same */
  outer.rs_count = 0;
  netif_set_default(&outer);
  netif_set_up(&outer);
  if ((s = argument(argc, argv, "zep", NULL)) != NULL) {
    ipaddr_aton(s, &to);
    zep.zep_dst_ip_addr = &to;
  }
  zep.zep_netif = &outer;
  netif_add(&mesh, NULL, NULL, NULL, &zep, mesh_init, tcpip_6lowpan_input);
  if ((s = argument(argc, argv, "pan", NULL)) != NULL) {
    lowpan6_set_pan_id((u16_t)strtoul(s, NULL, 16));
  }
  if ((s = argument(argc, argv, "context", NULL)) != NULL) {
    ip6_addr_t a;
    ip6addr_aton(s, &a);
    ip6_addr_clear_zone(&a);
    lowpan6_set_context(0, &a);
  }
  mesh.ip6_autoconfig_enabled = 1;
  if (argument(argc, argv, "mld", NULL) != NULL) {
    mesh.flags |= NETIF_FLAG_MLD6;
  }
  s = argument(argc, argv, "iid", "mac48");
  if (strcmp(s, "mac48") == 0) {
    netif_create_ip6_linklocal_address(&mesh, 1);
  } else {
    ip6_addr_t a;
    expand(eui, zep.addr);
    if (strcmp(s, "l2") == 0) {
      eui[0] ^= 2;
    }
    snprintf(addr, sizeof addr, "fe80::%x:%x:%x:%x", eui[0] << 8 | eui[1], eui[2] << 8 | eui[3], eui[4] << 8 | eui[5], eui[6] << 8 | eui[7]);
    ip6addr_aton(addr, &a);
    ip6_addr_assign_zone(&a, IP6_UNICAST, &mesh);
    netif_ip6_addr_set(&mesh, 0, &a);
    netif_ip6_addr_set_state(&mesh, 0, IP6_ADDR_TENTATIVE);
  }
  netif_set_up(&mesh);
  netif_set_link_up(&mesh);
  pcb = udp_new_ip_type(IPADDR_TYPE_V6);
  udp_bind(pcb, IP6_ADDR_ANY, 7);
  udp_recv(pcb, echo, NULL);
  UNLOCK_TCPIP_CORE();
  sys_thread_new("watch", watch_thread, NULL, 0, 0);

  while (fgets(line, sizeof line, stdin) != NULL) {
    int port;
    unsigned size;
    if (sscanf(line, "udp %63s %d %u", addr, &port, &size) == 3) {
      exchange(addr, port, size);
    }
  }
  for (;;) {
    pause();
  }
}
