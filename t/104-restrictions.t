#!/usr/bin/perl
# t/104-restrictions.t - doc/restrictions.md is what the table in mta/smtpd/restrict.c says, and no word of Postfix 3.7's postconf(5) is missing.
# RESTRICTIONS_WRITE=1 writes the document anew.
use strict;
use warnings;
use FindBin;
use Gatepost::Process qw(slurp spew);
use Test::More;

my $top = "$FindBin::Bin/..";
my %about = (
    LIST => 'what its list is about', CLIENT => 'client', REVERSE => "client's unverified name", HELO => 'HELO name', SENDER => 'sender',
    RCPT => 'recipient', SASL => 'login', CCERT => "client's certificate", ETRN => 'ETRN domain',
);

my @rows = slurp("$top/mta/smtpd/restrict.c") =~ /^\t\{ "(\w+)", ([\w| ]+), ABOUT_(\w+), (\w+) \},/mg;
my ($text, %known) = ("# Restrictions\n\nThe words that `smtpd_*_restrictions` may consist of, beside `warn_if_reject`, names of `smtpd_restriction_classes` and bare tables.\n"
    . "A word that is not here is named in a warning when smtpd starts, and mail that reaches it is deferred. Made from the table in\n"
    . "`mta/smtpd/restrict.c` by `t/104-restrictions.t`.\n\n| word | argument | about | decided by |\n|---|---|---|---|\n");
while (my ($word, $flags, $about, $eval) = splice @rows, 0, 4) {
    $known{$word} = 1;
    $text .= sprintf "| %s | %s | %s | %s |\n", $word, $flags =~ /RULE_ARG/ ? 'yes' : '', $about{$about}, $flags =~ /RULE_POLICYD/ ? 'policyd' : 'smtpd';
}
spew("$top/doc/restrictions.md", $text) if $ENV{RESTRICTIONS_WRITE};
is slurp("$top/doc/restrictions.md"), $text, 'the document is what the table says';

my @words = map { split } <DATA>;
my @missing = grep { !$known{$_} } @words;
is "@missing", '', 'every word of Postfix 3.7 exists';
my $chats = join '', map { slurp($_) } glob "$top/t/chat/*.chat";
my @unsaid = grep { $chats !~ /\b$_\b/ && !/^reject_unverified_/ } @words; # t/115-verify.t has sessions of these, beside Postfix too
is "@unsaid", '', 'and is in a session that is compared with Postfix';
done_testing;

__DATA__
check_ccert_access check_client_a_access check_client_access check_client_mx_access check_client_ns_access check_etrn_access
check_helo_a_access check_helo_access check_helo_mx_access check_helo_ns_access check_policy_service check_recipient_a_access
check_recipient_access check_recipient_mx_access check_recipient_ns_access check_relay_domains check_reverse_client_hostname_a_access
check_reverse_client_hostname_access check_reverse_client_hostname_mx_access check_reverse_client_hostname_ns_access check_sasl_access
check_sender_a_access check_sender_access check_sender_mx_access check_sender_ns_access defer defer_if_permit defer_if_reject
defer_unauth_destination permit permit_auth_destination permit_dnswl_client permit_inet_interfaces permit_mx_backup permit_mynetworks
permit_naked_ip_address permit_rhswl_client permit_sasl_authenticated permit_tls_all_clientcerts permit_tls_clientcerts reject
reject_authenticated_sender_login_mismatch reject_invalid_helo_hostname reject_invalid_hostname reject_known_sender_login_mismatch
reject_maps_rbl reject_multi_recipient_bounce reject_non_fqdn_helo_hostname reject_non_fqdn_hostname reject_non_fqdn_recipient
reject_non_fqdn_sender reject_plaintext_session reject_rbl_client reject_rhsbl_client reject_rhsbl_helo reject_rhsbl_recipient
reject_rhsbl_reverse_client reject_rhsbl_sender reject_sender_login_mismatch reject_unauth_destination reject_unauth_pipelining
reject_unauthenticated_sender_login_mismatch reject_unknown_address reject_unknown_client reject_unknown_client_hostname
reject_unknown_helo_hostname reject_unknown_hostname reject_unknown_recipient_domain reject_unknown_reverse_client_hostname
reject_unknown_sender_domain reject_unlisted_recipient reject_unlisted_sender reject_unverified_recipient reject_unverified_sender sleep
