#!/usr/bin/perl
# t/240-filters.t - a filter's connection, settings and failures, seen from both ends: what it was told, and what client and log got to know.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Filter;
use Gatepost::MilterServer qw(packet add NR_ALL);
use Gatepost::Process qw(wait_for);
use Gatepost::Sink;
use Gatepost::Test;

my $told    = 'CHMRTLNBE';  # what a filter is told of a session with a message
my $message = "${told}A";   # and its end

# What filters do that do not expect another client on the same connection, and what is said on that until they do.
my %dislikes = (
    'closes the connection'       => [ { K => 'CLOSE' }, "O${told}K" ],
    'closes at the next greeting' => [ { C => [ packet('c'), 'CLOSE' ] }, "O${told}KC" ],
    'says nothing any more'       => [ { C => [ packet('c'), '' ] }, "O${told}KC" ],
    'answers with garbage'        => [ { C => [ packet('c'), "\0\0\0\3!!!" ] }, "O${told}KC" ],
);

# A filter with libmilter tells the sockets it has.
my $python = Gatepost::Filter->python(<<'END');
import os, sys, Milter

class Filter(Milter.Base):
    def connect(self, *args):
        return Milter.CONTINUE

    def eom(self):
        fds = ['/proc/self/fd/' + fd for fd in os.listdir('/proc/self/fd')]
        found = [os.readlink(fd) for fd in fds if os.path.lexists(fd)]
        self.addheader('X-Sockets', ','.join([f for f in found if f.startswith('socket:')]))
        return Milter.CONTINUE

Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter('python', 'unix:' + sys.argv[1], 600)
END

# A client's address chooses who is asked about it.
my %filters = map { $_ => Gatepost::MilterServer->new } 'plain', 'silent', 'stubborn', keys %dislikes;
$filters{python} = $python if $python;
my %address = do { my $n = 10; map { $_ => '192.0.2.' . ++$n } sort keys %filters };
$filters{$_}->script(on => $dislikes{$_}[0]) for keys %dislikes;
$filters{silent}->script(protocol => NR_ALL);
$filters{stubborn}->script(on => $dislikes{'closes at the next greeting'}[0]);

my $sink = Gatepost::Sink->new;
my $mta  = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { smtpd_milter_maps => 'texthash:$config_directory/filters', smtpd_workers => 1, relay_recipient_maps => '' },
    files   => { filters => join '', map { "$address{$_} " . $filters{$_}->endpoint . "\n" } keys %filters },
)->start;

# Greeted, as this client.
sub client {
    my ($name) = @_;
    my $c = $mta->smtp(silent => 1);
    $c->reply;
    $c->xclient(ADDR => $address{$name});
    $c->hello;
    return $c;
}

# The commands of each connection: "OCHMRTLNBEAAQ", every run of the same one once.
sub commands {
    return map { join('', map { substr $_, 0, 1 } split /\n/) =~ s/(.)\1+/$1/gr } @_;
}

# So many sessions of one client at once, each with a message; they say goodbye at the end. How many were taken.
sub crowd {
    my ($name, $count) = @_;
    my @clients = map { client($name) } 1 .. $count;
    my $fine = grep { $_->mail('ann@far.test', 'bob@relay.test', "Subject: x\n\nhello\n") =~ /^250 / } @clients;
    $_->say('QUIT'), $_->line for @clients; # the second: nothing more, it is closed
    return $fine;
}

subtest 'a connection serves one client after the other' => sub {
    my $f = $filters{plain};
    is crowd('plain', 1), 1, 'one alone';
    is_deeply [ commands($f->records(1)) ], ["O${message}Q"], 'has a connection of its own, as from Postfix';
    is crowd('plain', 2), 2, 'two at once';
    is crowd('plain', 1), 1, 'one more';
    is_deeply [ sort(commands($f->records(2))) ], [ sort "O${told}K${message}Q", "O${message}Q" ],
        'the first connection goes on, without negotiating again';
};

# The sockets of the filter at each message so far.
sub sockets {
    my ($count) = @_;
    my $sockets = sub { map { $_->{content} =~ /^X-Sockets: (\S+)/m ? { map { $_ => 1 } split /,/, $1 } : () } $sink->messages };
    wait_for(sub { $sockets->() == $count });
    return $sockets->();
}

subtest 'the same with libmilter' => sub {
    plan skip_all => 'python3-milter is not installed' unless $python;
    is crowd('python', 2), 2, 'two at once';
    my %before = map { %$_ } sockets(2);
    is crowd('python', 1), 1, 'one more';
    my $now = (sockets(3))[2];
    is_deeply [ grep { !$before{$_} } keys %$now ], [], 'has no connection of its own';
};

for my $what (sort keys %dislikes) {
    subtest "a filter $what" => sub {
        is crowd($what, 2), 2, 'two at once';
        is crowd($what, 1), 1, 'the next one';
        is_deeply [ sort(commands($filters{$what}->records(3))) ], [ sort $dislikes{$what}[1], ("O${message}Q") x 2 ],
            'gets a connection of its own';
    };
}

subtest 'a filter that does not answer a greeting' => sub {
    is crowd('silent', 2), 2, 'two at once';
    is crowd('silent', 1), 1, 'the next one';
    is_deeply [ commands($filters{silent}->records(3)) ], [ ("O${message}Q") x 3 ], 'is never tried with a used connection';
};

subtest 'a filter that dislikes it again and again' => sub {
    my $f = $filters{stubborn};
    is crowd('stubborn', 2) + crowd('stubborn', 1), 3, 'messages get through' for 1 .. 4;
    is scalar(grep { /K/ } commands($f->records(12))), 3, 'it is asked three times whether it can';
    ok $mta->log_has(qr/milter \Q${\$f->endpoint}\E: its connections end with the session/), 'and the log says why no more';
    unlike $mta->log, qr/warning: milter \Q${\$f->endpoint}\E/, 'nothing went wrong';
};

$mta->stop;
done_testing;
