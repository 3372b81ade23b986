package Gatepost::Sink;

# A capturing SMTP server in a process of its own. Each accepted message becomes one file; recipients are answered as told.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(free_port finish slurp spew wait_for wait_port);
use IO::Socket::INET;
use IO::Socket::UNIX;
use MIME::Base64;
use POSIX ();

# port: fixed or free; address: 127.0.0.1 unless told; rcpt: { 'joe@x' => '550 5.1.1 who?' }; eod: reply after the final dot; ehlo: keywords; greeting: without
# the code; on: { EHLO => '502 5.5.1 no' }, what a verb is answered with instead of being obeyed (also HANGUP, SILENCE, '354 go on SILENCE'); auth: [user, password] for AUTH; lmtp: a reply for each
# recipient; path: a unix socket in place of the port; tls: { cert => file, key => file } for STARTTLS (or, with wrapped => 1, from the first octet).
sub new {
    my ($class, %given) = @_;
    my $self = bless { address => '127.0.0.1', rcpt => {}, eod => '250 2.0.0 Ok: queued', ehlo => [qw(PIPELINING 8BITMIME SMTPUTF8 DSN)], on => {}, greeting => 'sink.test ESMTP', %given }, $class;
    $self->{port} //= free_port();
    $self->{dir} //= tempdir('gatepost-sink.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    return $self->start;
}

sub port { return $_[0]{port} }

sub start {
    my ($self) = @_;
    my $listener = $self->{path}
        ? IO::Socket::UNIX->new(Local => $self->{path}, Listen => 128)
        : IO::Socket::INET->new(LocalAddr => $self->{address}, LocalPort => $self->{port}, Listen => 128, ReuseAddr => 1)
        or die 'sink on ' . ($self->{path} // "port $self->{port}") . ": $!";
    chmod 0666, $self->{path} if $self->{path};
    my $tls = $self->tls_context; # one for all sessions: it has the key of tickets
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    $self->{context} = $tls;
    setpgrp; # stop() ends the sessions too
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $peer = $listener->accept or next;
        my $pid = fork;
        next if !defined $pid || $pid;
        close $listener;
        eval { $self->session($peer); 1 } or warn "sink: $@"; # never up into the code of the test
        POSIX::_exit(0);
    }
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill 'TERM', -$pid;
    finish($pid);
}

sub tls_context {
    my ($self) = @_;
    my $tls = $self->{tls} or return;
    require IO::Socket::SSL;
    return IO::Socket::SSL::SSL_Context->new(SSL_server => 1, SSL_cert_file => $tls->{cert}, SSL_key_file => $tls->{key}, SSL_version => $tls->{version} // 'SSLv23:!SSLv2:!SSLv3')
        // die "sink: $IO::Socket::SSL::SSL_ERROR";
}

# What the handshake brought, in .heard: "TLS version cipher sni=... resumed=0|1".
sub secure {
    my ($self, $peer, $heard) = @_;
    IO::Socket::SSL->start_SSL($peer, SSL_server => 1, SSL_reuse_ctx => $self->{context}) or return;
    printf $heard "%d TLS %s %s sni=%s resumed=%d\n", $$, $peer->get_sslversion, $peer->get_cipher, $peer->get_servername // '',
        Net::SSLeay::session_reused($peer->_get_ssl_object);
    return 1;
}

sub session {
    my ($self, $peer) = @_;
    my (%mail, $count, $chunks, $secure);
    my $say = sub { print $peer "$_[0]\r\n"; $peer->flush };
    open my $heard, '>>', "$self->{dir}/.heard" or die "$self->{dir}: $!";
    $heard->autoflush;
    my $done = sub {
        my @to = $self->{lmtp} ? @{ $mail{rcpt} } : 1;
        $self->keep(\%mail, $_[0], ++$count) if $self->{eod} =~ /^2/;
        POSIX::_exit(0) if $self->{eod} eq 'HANGUP';
        sleep 3600 if $self->{eod} eq 'SILENCE';
        $say->($self->{eod}) for @to;
        $chunks = undef;
    };
    $secure = $self->secure($peer, $heard) or return if $self->{tls} && $self->{tls}{wrapped};
    return if $self->{greeting} eq 'HANGUP';
    sleep 3600 if $self->{greeting} eq 'SILENCE';
    $say->($self->{greeting} =~ /^\d{3}[ -]/ ? $self->{greeting} : "220 $self->{greeting}");
    while (defined(my $line = <$peer>)) {
        $line =~ s/\r?\n\z//;
        print $heard "$$ $line\n";
        my ($verb) = uc($line) =~ /^(\w+)/;
        if (defined(my $answer = $self->{on}{ $verb // '' })) {
            return if $answer eq 'HANGUP';
            $say->($1) if $answer =~ /^(\d.*) SILENCE$/;
            sleep 3600 if $answer =~ /SILENCE$/;
            $say->($answer);
        } elsif ($line =~ /^[EL]HLO/i) {
            my @lines = ('sink.test', @{ $self->{ehlo} }, $self->{tls} && !$secure ? 'STARTTLS' : ());
            $say->(join "\r\n", map { '250' . ($_ == $#lines ? ' ' : '-') . $lines[$_] } 0 .. $#lines);
        } elsif ($line =~ /^(HELO|NOOP|XFORWARD)/i) {
            $say->('250 sink.test');
        } elsif ($line =~ /^RSET/i) {
            %mail = ();
            $say->('250 2.0.0 Ok');
        } elsif ($line =~ /^STARTTLS/i && $self->{tls}) {
            $say->('220 2.0.0 go on');
            $secure = $self->secure($peer, $heard) or return;
        } elsif ($line =~ /^AUTH (\S+) ?(.*)/i) {
            $say->($self->authenticate($peer, uc $1, $2) ? '235 2.7.0 welcome' : '535 5.7.8 who are you?');
        } elsif ($line =~ /^MAIL FROM:(.*)/i) {
            %mail = (mail => $1, rcpt => []);
            $say->('250 2.1.0 Ok');
        } elsif ($line =~ /^RCPT TO:\s*(<([^>]*)>.*)/i) {
            my $refusal = $self->{rcpt}{$2};
            push @{ $mail{rcpt} }, $1 unless $refusal;
            $say->($refusal // '250 2.1.5 Ok');
        } elsif ($line =~ /^BDAT (\d+)( LAST)?/i) {
            my $last = $2;
            read($peer, my $chunk, $1) == $1 or return;
            $chunks .= $chunk;
            $last ? $done->($chunks) : $say->('250 2.0.0 go on');
        } elsif ($line =~ /^DATA/i) {
            if (!@{ $mail{rcpt} // [] }) {
                $say->('554 5.5.1 no valid recipients');
                next;
            }
            $say->('354 go on');
            my ($content, $whole) = ('', 0);
            while (defined(my $l = <$peer>)) {
                last if $whole = $l eq ".\r\n";
                $l =~ s/^\.//;
                $content .= $l;
            }
            return unless $whole;
            $done->($content);
        } elsif ($line =~ /^QUIT/i) {
            $say->('221 2.0.0 bye');
            return;
        } else {
            $say->('502 5.5.2 what?');
        }
    }
}

sub authenticate {
    my ($self, $peer, $mechanism, $initial) = @_;
    my ($user, $password) = @{ $self->{auth} };
    my $ask = sub {
        print $peer '334 ', encode_base64($_[0], ''), "\r\n";
        $peer->flush;
        return decode_base64(<$peer> // '');
    };
    return decode_base64($initial) eq "\0$user\0$password" if $mechanism eq 'PLAIN';
    return $ask->('Username:') eq $user && $ask->('Password:') eq $password if $mechanism eq 'LOGIN';
    require Digest::HMAC_MD5;
    return $ask->('<1.2@sink.test>') eq "$user " . Digest::HMAC_MD5::hmac_md5_hex('<1.2@sink.test>', $password);
}

# All that clients said, "PID line", content left out.
sub heard { return slurp("$_[0]{dir}/.heard") }

# The name is complete only when the content is.
sub keep {
    my ($self, $mail, $content, $count) = @_;
    my $name = sprintf '%s/%.6f.%d.%d', $self->{dir}, Time::HiRes::time(), $$, $count;
    spew("$name.part", 'MAIL ' . ($mail->{mail} // '') . "\n" . join('', map { "RCPT $_\n" } @{ $mail->{rcpt} }) . "\n$content");
    rename "$name.part", $name or die "$name: $!";
}

# All messages so far: { mail, rcpt => [...], content }, oldest first.
sub messages {
    my ($self) = @_;
    my @all;
    for my $file (sort grep { !/\.part$/ } glob "$self->{dir}/*") {
        my ($envelope, $content) = split /\n\n/, slurp($file), 2;
        my ($mail, @rcpt) = map { s/^(MAIL|RCPT) //r } split /\n/, $envelope;
        push @all, { mail => $mail, rcpt => \@rcpt, content => $content };
    }
    return @all;
}

# The first message that matches, within some seconds.
sub wait_message {
    my ($self, $match, $seconds) = @_;
    return wait_for(sub { my ($m) = grep { $_->{content} =~ $match } $self->messages; $m }, $seconds);
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;
