#include <edge/guest.h>

#include "platform.h"
#include "port.h"

_Noreturn void edge_main(void) {
    port_open();
    for (;;) {
        while (port_receive())
            continue;
        edge_session_idle();
        edge_port_flush();
        port_wait();
    }
}
