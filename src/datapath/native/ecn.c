#include "ecn.h"

#include "checksum.h"

uint8_t ecn_of(const uint8_t *packet)
{
    /* IPv6: the traffic class lies across the first two bytes, its lower bits are bits 4 and 5 of the second. */
    return (packet[0] >> 4) == 4 ? packet[IPV4_TOS] & ECN_MASK : (packet[1] >> 4) & ECN_MASK;
}

static void set(uint8_t *packet, uint8_t ecn)
{
    uint16_t before, after;
    uint64_t sum;

    if ((packet[0] >> 4) == 6) {
        packet[1] = (uint8_t)((packet[1] & ~(ECN_MASK << 4)) | (ecn << 4));
        return;
    }
    before = read_word(packet);
    packet[IPV4_TOS] = (uint8_t)((packet[IPV4_TOS] & ~ECN_MASK) | ecn);
    after = read_word(packet);
    /* RFC 1624 equation 3: what was a wrong checksum stays one. */
    sum = (uint64_t)(uint16_t)~read_word(packet + IPV4_CHECKSUM) + (uint16_t)~before + after;
    write_word(packet + IPV4_CHECKSUM, (uint16_t)~checksum_fold(sum));
}

bool ecn_decapsulate(struct packet *packet, uint8_t outer_ecn)
{
    uint8_t inner = ecn_of(packet->bytes);

    if (outer_ecn == ECN_CE) {
        if (inner == ECN_NOT_ECT)
            return false;
        if (inner != ECN_CE)
            set(packet->bytes, ECN_CE);
    } else if (outer_ecn == ECN_ECT_1 && inner == ECN_ECT_0) {
        set(packet->bytes, ECN_ECT_1);
    }
    return true;
}
