#!/usr/bin/perl
# t/630-rewriting.t - envelope addresses: hundreds of them through Gatepost and through Postfix with the same main.cf, one configuration after
# the other. What is compared: the reply to RCPT, the sender, and for each delivery the address, the original one, transport and next hop.
use strict;
use warnings;
use Gatepost::Postfix;
use Gatepost::Process qw(slurp wait_for);
use Gatepost::Test;
use List::Util qw(min);
use Test::More;

my @transports = qw(lt vt rt dt other uucp);
my $master = join '', map { "$_ unix - n n - - discard -o syslog_name=via/$_\n" } @transports;
my %base = (
    compatibility_level => '3.6', myhostname => 'mx.gate.test', mydomain => 'gate.test', myorigin => 'origin.test', mydestination => 'mx.gate.test, local.test, gate.test',
    mynetworks => '127.0.0.0/8', local_transport => 'lt:local', virtual_transport => 'vt', relay_transport => 'rt', default_transport => 'dt', relay_domains => 'relay.test',
    virtual_mailbox_domains => 'mailbox.test', virtual_mailbox_maps => 'inline:{ box@mailbox.test=x }', virtual_alias_domains => 'alias.test', local_recipient_maps => '',
    smtpd_recipient_restrictions => 'permit_mynetworks, reject', smtpd_reject_unlisted_recipient => 'no', smtpd_reject_unlisted_sender => 'no', strict_rfc821_envelopes => 'no',
    append_dot_mydomain => 'yes', smtputf8_enable => 'yes', smtpd_error_sleep_time => '0', smtpd_soft_error_limit => '100000', smtpd_hard_error_limit => '100000',
    smtpd_junk_command_limit => '100000', smtpd_client_connection_count_limit => '0', duplicate_filter_limit => '1000',
);

my @locals = ('joe', 'Joe.Doe', 'joe+x', 'joe-x', 'a%b', 'a%b.test', 'a%b.test%c.test', 'c!d', 'b.test!d', 'x!y!z', '"joe doe"', '"a@b.test"', '"a%b.test"', '"c!d"', '"q\"r"', '"@"',
    'postmaster', 'owner-list', 'list-request', 'double-bounce', 'MAILER-DAEMON+x', 'joe+', '+joe', 'joe+a+b', '-dash', '!bang', 'a%', '%b', 'a!', '"joe+x"', '"joe x+y"', 'joe/x', '""');
my @domains = ('', '@', '@local.test', '@LOCAL.test', '@mx.gate.test', '@host', '@relay.test', '@sub.relay.test', '@mailbox.test', '@alias.test', '@far.test', '@[127.0.0.1]',
    '@[192.0.2.1]', '@192.0.2.1', '@far.test.', '@b.test@far.test', '@[IPv6:2001:db8::1]', '@far..test', '@.far.test');
my @some = map { my $l = $_; map { "$l$_" } @domains } 'joe', 'a%b.test', 'c!d', '"joe doe"', '"a@b.test"', 'joe+x';
my @all = (@some, map({ my $l = $_; map { "$l$_" } '', '@local.test', '@far.test', '@mailbox.test' } @locals));
my %seen;
@all = grep { !$seen{$_}++ } @all;
my @routes = map { "joe\@$_" } qw(far.test sub.far.test x.sub.far.test relay.test sub.relay.test local.test mailbox.test alias.test one.test two.test three.test four.test
    five.test six.test seven.test a.seven.test eight.test nine.test ten.test [192.0.2.7] eleven.test twelve.test), 'ann@far.test', 'ann+x@far.test', 'bob@far.test', 'bob@local.test', 'gone@local.test', 'gone+x@local.test', 'gone@far.test';
my @people = map { my $l = $_; map { "$l$_" } '', '@local.test', '@origin.test', '@far.test', '@alias.test', '@mailbox.test', '@host.far.test', '@a.b.far.test' }
    qw(joe joe+x ann Ann ann+x bob bob+x list loop1 loop2 self many big root cat postmaster one two three nosuch), '"joe doe"', '"ann"', '"ann+x"', '"a b+x"';

# name => [settings, addresses, senders]
my @cases = (
    ['defaults', {}, \@all],
    ['nothing completed', { append_dot_mydomain => 'no', swap_bangpath => 'no', allow_percent_hack => 'no', resolve_dequoted_address => 'no' }, \@all],
    ['numbers and nothing', { resolve_numeric_domain => 'yes', resolve_null_domain => 'yes', allow_min_user => 'yes', recipient_delimiter => '+-', relayhost => '[relay.host.test]:26' }, \@some],
    ['canonical', {
        recipient_delimiter => '+', propagate_unmatched_extensions => 'canonical, virtual',
        canonical_maps => 'inline:{ joe=joseph, ann=ann.smith@far.test, ann+x=exact@far.test, bob@far.test=@moved.test, @host.far.test=@far.test, { "joe doe"@far.test = jd@far.test }, { "a b"@far.test = "c d"@far.test } }',
        sender_canonical_maps => 'inline:{ root=admin@far.test, list@far.test=joe }, regexp:{{/^two@(.*)/ second@$$1}}', recipient_canonical_maps => 'inline:{ root=rcpt@far.test, cat=joe, one@far.test=two@far.test }',
    }, \@people, [qw(joe ann+x@origin.test root list@far.test two@far.test bob+x@far.test root@host.far.test)]],
    ['canonical, other classes', {
        recipient_delimiter => '+', propagate_unmatched_extensions => '', canonical_classes => 'envelope_sender', recipient_canonical_classes => 'header_recipient',
        canonical_maps => 'inline:{ joe=joseph, ann=ann.smith@far.test }', recipient_canonical_maps => 'inline:{ root=rcpt@far.test }',
    }, [@people[0 .. 40]], [qw(joe ann+x@origin.test root)]],
    ['virtual aliases', {
        recipient_delimiter => '+', virtual_alias_domains => 'alias.test, inline:{ gone.test=x }',
        virtual_alias_maps => 'inline:{ joe=joe@far.test, ann@far.test=bob@far.test, bob@far.test={ann2@far.test}, { list = joe, ann@far.test, self+y@far.test }, loop1@far.test=loop2@far.test, loop2@far.test=loop1@far.test,
            { self@far.test = self@far.test, other@far.test }, { many = a1@b.test a2@b.test,a3@b.test , "q r"@b.test }, @alias.test=@far.test, root=postmaster, cat@mailbox.test=cat, one=two, two=three, { three = one, end@far.test },
            { "joe doe"@far.test = jd@far.test }, big=joe+big, @a.b.far.test=catch@far.test }',
    }, \@people],
    ['virtual aliases, what was named before forgotten', {
        recipient_delimiter => '+', enable_original_recipient => 'no', sender_canonical_classes => 'header_sender', sender_canonical_maps => 'inline:{ joe=wrong@far.test }',
        virtual_alias_maps => 'inline:{ joe=joe@far.test, { list = joe, joe@far.test, ann@far.test, ann@far.test }, @alias.test=@far.test }',
    }, [@people[0 .. 60]], [qw(joe ann+x@origin.test)]],
    ['virtual aliases, no extensions', { recipient_delimiter => '+', propagate_unmatched_extensions => '', virtual_alias_maps => 'inline:{ joe=joe@far.test, @alias.test=@far.test, list@far.test=@other.test, ann=ann }' }, [@people[0 .. 60]]],
    ['masquerading', { masquerade_domains => '!b.far.test far.test $mydomain', masquerade_exceptions => 'root', masquerade_classes => 'envelope_sender, envelope_recipient' },
        [@people, 'x@mx.gate.test', 'x@host.gate.test', 'root@host.gate.test'], [qw(joe@host.far.test root@host.far.test joe@b.far.test joe@a.b.far.test joe@xfar.test)]],
    ['copies', { recipient_delimiter => '+', always_bcc => 'archive@far.test', sender_bcc_maps => 'inline:{ joe@far.test=sent, ann=ann@far.test, @host.far.test=all@far.test }',
        recipient_bcc_maps => 'inline:{ joe@far.test=copy+r@far.test, @mailbox.test=boxes, ann=list@far.test, list@far.test=again@far.test }', virtual_alias_maps => 'inline:{ boxes=b1@far.test }' },
        [@people[0 .. 60]], [qw(joe@far.test joe+x@far.test ann ann+y@origin.test x@host.far.test)]],
    ['transports', {
        recipient_delimiter => '+', relayhost => '[hub.test]:2525', relocated_maps => 'inline:{ gone=gone@new.test, x@far.test=y }',
        transport_maps => 'inline:{ far.test=other:one, .far.test=other:two, relay.test=:, .relay.test=:[gw.test]:25, local.test=uucp, ann@far.test=uucp:ann, one.test=other:, two.test=:, three.test=:[192.0.2.5], four.test=other:a.test:26,
            { five.test=error:5.1.2 no such place }, six.test=other:six, .seven.test=other:seven, eight.test=other, mailbox.test=other:mbox, bob=other:bob, { twelve.test = other:x y } }',
    }, \@routes, [qw(joe ann@far.test)]],
    ['transports by sender', {
        relayhost => 'hub.test', sender_dependent_relayhost_maps => 'inline:{ joe@far.test=[joes.test], @far.test=[fars.test]:26, ann@local.test=DUNNO, { <> = [null.test] } }',
        sender_dependent_default_transport_maps => 'inline:{ bob@far.test=uucp:bobs, @two.test=other:, ann@local.test=DUNNO, cat@far.test=other }', transport_maps => 'inline:{ one.test=other:, *=: }',
    }, \@routes, [qw(joe@far.test x@far.test ann@local.test bob@far.test x@two.test cat@far.test joe), '']],
    ['transports, parents by their names', { parent_domain_matches_subdomains => 'transport_maps, relay_domains', relayhost => '', default_transport => 'dt:default.test',
        transport_maps => 'inline:{ far.test=other:one, .seven.test=other:seven, relay.test=other:relay, *=uucp:all }' }, \@routes],
);

# What one of them does with all these addresses: address => text of its deliveries.
sub through {
    my ($mta, $log, $addresses, $senders) = @_;
    my (%reply, %id, %of);
    my $chat = Gatepost::Chat->new($mta->port);
    $chat->hello;
    for my $sender (@$senders) {
        my @asked = $sender eq $senders->[0] ? @$addresses : @$addresses[0 .. min(29, $#$addresses)];
        for my $address (@asked) {
            my $case = "$sender $address";
            my $from = $chat->say("MAIL FROM:<$sender>");
            my $to = $from =~ /^250/ ? $chat->say("RCPT TO:<$address>") : $from;
            $of{$case} = substr $to, 0, 9;
            if ($to =~ /^250/) {
                $chat->say('DATA');
                my $end = $chat->send_raw("Subject: x\r\n\r\nx\r\n.\r\n")->reply;
                $end =~ /queued as (\w+)/ ? ($id{$1} = $case) : ($of{$case} = substr $end, 0, 3);
            } else {
                $chat->say('RSET');
            }
        }
    }
    wait_for(sub { my $text = $log->(); my %gone = map { $_ => 1 } $text =~ /(\w+): removed/g; !grep { !$gone{$_} } keys %id }, 60) or diag 'not all mail left: ' . substr $log->(), -2000;
    for (split /\n/, $log->()) {
        if (/qmgr\S*: (\w+): from=<(.*?)>, size=/ && $id{$1}) {
            $of{ $id{$1} } .= "; from <$2>" if $of{ $id{$1} } !~ /; from/;
        } elsif (m{via/(\w+)\S*: (\w+): (to=<.*?>, (?:orig_to=<.*?>, )?)relay=.*?(status=\w+ \(.*\))} && $id{$2}) {
            push @{ $id{"$2 to"} }, "$3$1 $4";
        } elsif (/: (\w+): (to=<.*?>, (?:orig_to=<.*?>, )?)relay=.*?(dsn=\S+) (status=\w+ \(.*\))/ && $id{$1}) {
            push @{ $id{"$1 to"} }, "$2$3 $4";
        }
    }
    $of{ $id{$_} } .= join '', map { "; $_" } sort @{ $id{"$_ to"} // [] } for grep { !/ / } keys %id;
    return \%of;
}

# Differences that are meant, each with its reason: [address, what Gatepost says instead, reason].
my @known = (
    [qr/\S\@\z/,            qr/^501/, 'an empty domain is no address, whatever stands before it'],
    [qr/^ann\S* ann\@far\.test$/i, qr/to=<ann\@far\.test>/i, 'who gets the message anyway gets no second copy'],
    [qr/ ""\@local\.test$/, qr/^501/, 'an empty local part is nobody; Postfix takes it for MAILER-DAEMON'],
);
my %used;

sub known {
    my ($case, $ours) = @_;
    my ($found) = grep { $case =~ $known[$_][0] && $ours =~ $known[$_][1] } 0 .. $#known;
    $used{$found}++ if defined $found;
    return defined $found;
}

plan skip_all => 'no Postfix to compare with, or not root' unless Gatepost::Postfix::installed();
my $count = 0;
my @postfix;
for my $case (@cases) {
    $case->[1] = { %base, map { $_ => $case->[1]{$_} =~ s/\s*\n\s*/ /gr } keys %{ $case->[1] } };
    push @postfix, Gatepost::Postfix->new(main_cf => $case->[1], master_cf => $master)->begin;
}
for my $case (@cases) {
    my ($name, $settings, $addresses, $senders) = @$case;
    my %main = %$settings;
    my $postfix = shift(@postfix)->ready;
    my $gatepost = Gatepost::Test->new(main_cf => \%main, master_cf => $master)->start;
    $senders //= ['sender@far.test'];
    my $theirs = through($postfix, sub { $postfix->log }, $addresses, $senders);
    my $ours = through($gatepost, sub { $gatepost->log }, $addresses, $senders);
    $count += keys %$theirs;
    my @different = grep { $ours->{$_} ne $theirs->{$_} && !known($_, $ours->{$_}, $theirs->{$_}) } sort keys %$theirs;
    is scalar @different, 0, "$name: " . keys(%$theirs) . ' addresses' or diag map { "$_\n  Postfix:  $theirs->{$_}\n  Gatepost: $ours->{$_}\n" } @different;
    $gatepost->stop;
}
note "$count cases";
note "differs, $used{$_} times: $known[$_][2]" for sort keys %used;
done_testing;
