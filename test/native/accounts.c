#include <string.h>

#include "checks.h"
#include "unprivileged.h"

void check_accounts(void)
{
    struct account account;

    CHECK(unprivileged_account("nobody:x:65534:65533:nobody:/:/bin/false\n", "nobody", &account));
    CHECK(strcmp(account.name, "nobody") == 0 && account.uid == 65534 && account.gid == 65533);
    CHECK(unprivileged_account("corduroy:x:1:2", "corduroy", &account) && account.uid == 1 && account.gid == 2);
    CHECK(!unprivileged_account("corduroy2:x:1:2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x:0:2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x:1:0::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x:01:2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x:-1:2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x:1x:2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x::2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x:4294967295:2::\n", "corduroy", &account)); /* -1: "no change" */
    CHECK(!unprivileged_account("corduroy:x:99999999999999999999:2::\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy:x\n", "corduroy", &account));
    CHECK(!unprivileged_account("corduroy\n", "corduroy", &account));
    CHECK(!unprivileged_account("", "corduroy", &account));
}
